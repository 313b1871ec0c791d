"""A folder of images: one folder a class, named after it, holding PNG, JPEG, BMP or GIF files.

A folder whose only folders are `train` and `test`, each with the class folders in it, gives both
splits. Hidden files are skipped; anything else that is not an image of 8 bits a channel is refused
by name, so that no sample is lost in silence. Images are grey if all of them are, else all become
RGB. Transparency is dropped. `MAX_PIXELS` bounds each image before it is unpacked.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from control.sources.errors import InvalidData, UnknownSource, reading
from control.sources.labelled import Labelled, Splits, check_size

FORMATS = ("PNG", "JPEG", "BMP", "GIF")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
MAX_SIDE = 4096
MAX_PIXELS = (
    MAX_SIDE**2
)  # unpacked it takes 15 bytes a pixel; a file of 46 bytes can claim them all
SPLITS = ("test", "train")

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class _Split:
    folder: Path
    classes: tuple[str, ...]
    files: tuple[tuple[Path, int], ...]  # image, label


@dataclass(frozen=True)
class _Header:
    file: Path
    size: Size
    is_grey: bool


def read(path: Path, size: Size | None = None) -> Splits:
    """Read a folder.

    Args:
        path: Folder of class folders.
        size: Height and width that every image is resized to (bilinear); None if all have one size.

    Raises:
        SourceError: A file is no image or cut short, sizes differ, or there are no classes.

    """
    _check_size(size, path)
    splits = [_listed(folder) for folder in _split_folders(path)]
    headers = [_header(file) for split in splits for file, _ in split.files]
    height, width = size or _one_size(headers)
    is_grey = all(header.is_grey for header in headers)
    shape = (height, width) if is_grey else (height, width, 3)
    train, *test = [_load(split, shape) for split in splits]
    return Splits(train, test[0] if test else None, _resized(headers, (height, width)))


def _check_size(size: Size | None, path: Path) -> None:
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        problem = f"size is {size[0]} x {size[1]} pixels"
        raise InvalidData(path, problem, f"give a height and a width from 1 to {MAX_SIDE}")


def _visible(folder: Path) -> list[Path]:
    with reading(folder):
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _split_folders(path: Path) -> list[Path]:
    """Return the folders of the splits: the training one, then, where there is one, the test's."""
    children = _visible(path)
    names = tuple(child.name for child in children)
    is_split = names == SPLITS and all(
        inner.is_dir() for child in children if child.is_dir() for inner in _visible(child)
    )
    return children[::-1] if is_split else [path]


def _listed(folder: Path) -> _Split:
    children = _visible(folder)
    for child in children:
        if not child.is_dir():
            raise InvalidData(child, "it lies beside the class folders", "move it into one or out")
    if not children:
        raise UnknownSource(folder, "it holds no class folders", "make one folder a class")
    files = tuple((file, label) for label, child in enumerate(children) for file in _visible(child))
    if not files:
        raise UnknownSource(folder, "its class folders are empty", "put images into them")
    return _Split(folder, tuple(child.name for child in children), files)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image, and turn what Pillow raises on bad bytes into a `SourceError`."""
    remedy = "replace it by a whole PNG, JPEG, BMP or GIF image, or remove it"
    try:
        with reading(file, remedy), Image.open(file, formats=FORMATS) as image:
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(file) from error
    except (SyntaxError, TypeError, IndexError, KeyError, struct.error) as error:
        raise InvalidData(file, str(error), remedy) from error


def _too_many_pixels(file: Path) -> InvalidData:
    problem = f"it has over {MAX_PIXELS:,} pixels"
    return InvalidData(file, problem, "give a smaller image")


def _header(file: Path) -> _Header:
    with _opened(file) as image:
        if math.prod(image.size) > MAX_PIXELS:
            raise _too_many_pixels(file)
        if image.mode not in GREY_MODES + COLOUR_MODES:
            problem = f"its mode {image.mode} is not 8 bits a channel"
            raise InvalidData(file, problem, "save it as 8-bit grey or RGB")
        if getattr(image, "n_frames", 1) > 1:
            raise InvalidData(file, "it is an animation", "save one frame of it")
        return _Header(file, (image.height, image.width), _is_grey(image))


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in GREY_MODES
    palette = image.getpalette("RGB") or []  # a GIF has one even for shades of grey
    return palette[0::3] == palette[1::3] == palette[2::3]


def _one_size(headers: Sequence[_Header]) -> Size:
    usual = Counter(header.size for header in headers).most_common(1)[0][0]
    for header in headers:
        if header.size != usual:
            problem = f"it is {_pixels(header.size)}, most others are {_pixels(usual)}"
            raise InvalidData(header.file, problem, "give a size to resize all images to")
    return usual


def _resized(headers: Sequence[_Header], size: Size) -> tuple[str, ...]:
    resized = [header.file for header in headers if header.size != size]
    if not resized:
        return ()
    count = f"{len(resized)} of {len(headers)} images"
    return (f"{count} resized to {_pixels(size)} (bilinear), the first of them {resized[0]}.",)


def _pixels(size: Size) -> str:
    return f"{size[0]} x {size[1]} pixels (height x width)"


def _load(split: _Split, shape: tuple[int, ...]) -> Labelled:
    check_size(len(split.files) * math.prod(shape), str(split.folder))
    samples = np.empty((len(split.files), *shape), dtype=np.uint8)
    for sample, (file, _) in zip(samples, split.files, strict=True):
        sample[:] = _pixels_of(file, shape)
    labels = np.array([label for _, label in split.files], dtype=np.int64)
    return Labelled(samples, labels, split.classes, str(split.folder))


def _pixels_of(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width = shape[:2]
    with _opened(file) as image:
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA")  # a palette may hold transparency of its own
        pixels = image.convert("L" if len(shape) == 2 else "RGB")
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(pixels, dtype=np.uint8)
