"""A contact sheet: samples of a rehearsal set as one picture, a row for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

TILE = (
    32  # least width and height of a sample, in pixels; smaller ones are enlarged by whole factors
)
GAP = 2
LABEL = 96
PAPER = 24  # grey value behind the samples


def contact_sheet(rows: Sequence[tuple[str, NDArray[Any]]], path: Path) -> Path:
    """Draw samples and write a PNG.

    Args:
        rows: A label and its samples, (n, height, width) or (n, height, width, 3); uint8, or float32 in [0, 1].
            Rows may be of different length; n may be 0.
        path: Where to.

    Raises:
        ValueError: The samples are not images.

    """
    tiles = [(label, [_tile(sample) for sample in samples]) for label, samples in rows]
    every = [tile for _, row in tiles for tile in row]
    if not every:
        raise ValueError("no samples to show")
    width, height = every[0].size
    columns = max(len(row) for _, row in tiles)
    size = (LABEL + columns * (width + GAP), GAP + len(tiles) * (height + GAP))
    sheet = Image.new("RGB", size, (PAPER, PAPER, PAPER))
    draw = ImageDraw.Draw(sheet)
    for row, (label, images) in enumerate(tiles):
        top = GAP + row * (height + GAP)
        draw.text((6, top + height // 2 - 6), label[:14], fill=(255, 255, 255))
        for column, image in enumerate(images):
            sheet.paste(image, (LABEL + column * (width + GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _tile(sample: NDArray[Any]) -> Image.Image:
    if sample.ndim not in (2, 3):
        raise ValueError(f"a sample of shape {sample.shape} is not an image")
    values = sample if sample.dtype == np.uint8 else np.clip(sample * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(values).convert("RGB")
    factor = max(1, -(-TILE // min(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
