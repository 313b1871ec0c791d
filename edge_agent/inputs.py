"""Samples from files: an array that numpy saved or, where Pillow is installed, one image. Nothing is unpickled."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import Invalid
from learning.npz import name_of, read_array
from learning.samples import Samples
from schemas.model import Shape

ARRAY_SUFFIXES = (".npy", ".npz")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # 8 bits a channel
SAMPLES_NAME = "samples"
MAX_BYTES = 64 * 2**20  # of what is unpacked into memory

# What numpy, zipfile and Pillow raise on bytes that are not what they should be.
UNREADABLE = (
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

Array = NDArray[np.generic]


def read_samples(path: Path, shape: Shape) -> Samples:
    """Return what the file holds, as (n, *shape); one sample alone becomes (1, *shape).

    Args:
        path: `.npy`; `.npz` with one array, or one named "samples"; anything else is taken for an image.
        shape: Of one sample. Another one in the file is left for `Model.predict` to refuse, as is the dtype.

    Raises:
        Invalid: There is no such file, or it is damaged, or not of these kinds.

    """
    if not path.is_file():
        raise Invalid(f"{path}: there is no such file")
    values = _array(path) if path.suffix.lower() in ARRAY_SUFFIXES else _pixels(path, shape)
    return cast(Samples, values[np.newaxis] if values.shape == shape else values)


def _array(path: Path) -> Array:
    try:
        if path.suffix.lower() == ".npy":
            # Mapped: a header that claims more than the file holds is an error, not an allocation.
            return np.lib.format.open_memmap(path, mode="r")
        with zipfile.ZipFile(path) as archive:
            return read_array(archive, _member_among(archive.infolist(), path))
    except UNREADABLE as error:
        raise Invalid(
            f"{path}: it is damaged, or no array of numbers; save it with numpy.save"
        ) from error


def _member_among(members: list[zipfile.ZipInfo], path: Path) -> zipfile.ZipInfo:
    named = [member for member in members if name_of(member) == SAMPLES_NAME] or members
    if len(named) != 1:
        raise Invalid(f"{path}: it holds {len(members)} arrays; name one of them {SAMPLES_NAME!r}")
    if (size := named[0].file_size) > MAX_BYTES:
        raise Invalid(f"{path}: it unpacks to {size:,} bytes, over {MAX_BYTES:,}; split it")
    return named[0]


def _pixels(path: Path, shape: Shape) -> Array:
    if len(shape) == 1:
        raise Invalid(f"{path}: the model takes {shape[0]} features; give them as .npy")
    try:
        from PIL import Image
    except ImportError as error:
        raise Invalid(
            f"{path}: to read images, install rdg-bus[server]; or give the pixels as .npy"
        ) from error
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            _check_image(path, image.size, image.mode, shape)
            return np.asarray(image.convert("L" if len(shape) == 2 else "RGB"))
    except (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Invalid(f"{path}: no whole {', '.join(IMAGE_FORMATS)} image, .npy or .npz") from error


def _check_image(path: Path, size: tuple[int, int], mode: str, shape: Shape) -> None:
    width, height = size
    if (height, width) != shape[:2]:
        wanted = f"{shape[0]} x {shape[1]}"
        raise Invalid(f"{path}: {height} x {width} pixels; resize it to {wanted} (height x width)")
    if mode not in IMAGE_MODES:
        raise Invalid(f"{path}: mode {mode}; save it as 8-bit grey or RGB")
