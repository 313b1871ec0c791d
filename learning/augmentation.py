"""Small random changes of training images that leave their class as it is.

* The same images and the same random state give the same result; images of a batch change apart.
* What comes in from outside repeats the nearest edge: a dark border stays dark, and no frame is
  drawn around a photograph, as zeros would.
* Shifts reach a fixed share of the side, rounded: one pixel of 28, two of 32 or more, none of 8.
* A mirrored shoe is a shoe, a mirrored digit is not: flips are for natural images and clothes alone.
* Tabular samples have no neighbours to move to, and are never changed.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Augmentation = Literal["none", "shift", "shift+flip", "affine", "affine+flip"]

REACH = 1 / 20
TURN = np.pi / 18
ZOOM = 0.1


def suited(asked: Augmentation | Literal["auto"], shape: tuple[int, ...]) -> Augmentation:
    """Return what is done with samples of this shape: "auto" shifts images and leaves tables alone.

    Raises:
        ValueError: Tabular samples are to be changed.

    """
    is_tabular = len(shape) == 1
    if asked == "auto":
        return "none" if is_tabular else "shift"
    if is_tabular and asked != "none":
        raise ValueError(
            f"augmentation: {asked!r} is for images, samples of {shape} take 'none' or 'auto'"
        )
    return asked


def augment(
    images: NDArray[np.float32], kind: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the images, each changed at random.

    Args:
        images: (n, h, w) or (n, h, w, channels), n may be 0; with "none" any shape.
        kind: "shift": by whole pixels, `REACH` of each side at most. "affine": also turned by at
            most `TURN` radians and scaled by at most `ZOOM`. "+flip": mirrored left to right, half
            of them.
        rng: Drawn from in a fixed order.

    """
    if kind == "none" or not len(images):
        return images
    moved = _shifted(images, rng) if kind.startswith("shift") else _warped(images, rng)
    return _flipped(moved, rng) if kind.endswith("+flip") else moved


def _shifted(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    n, height, width = images.shape[:3]
    rows = _along(height, _reach(height), n, rng)
    columns = _along(width, _reach(width), n, rng)
    return images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _along(side: int, reach: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each image the row (or column) that each of its rows comes from, (n, side)."""
    start = rng.integers(-reach, reach, (n, 1), endpoint=True)
    return np.asarray(np.clip(start + np.arange(side), 0, side - 1))


def _reach(side: int) -> int:
    return round(side * REACH)


def _warped(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    n, height, width = images.shape[:3]
    angle = rng.uniform(-TURN, TURN, (n, 1, 1)).astype(np.float32)
    zoom = rng.uniform(1 - ZOOM, 1 + ZOOM, (n, 1, 1)).astype(np.float32)
    shifts = rng.uniform(-1, 1, (2, n, 1, 1)).astype(np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    rows = cosine * y - sine * x + (shifts[0] * _reach(height) + np.float32((height - 1) / 2))
    columns = sine * y + cosine * x + (shifts[1] * _reach(width) + np.float32((width - 1) / 2))
    return _interpolated(images, rows, columns)


def _interpolated(
    images: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the images' values at these places, (n, h, w) each, bilinear."""
    n, height, width = images.shape[:3]
    top, down = _lattice(rows, height)
    left, right = _lattice(columns, width)
    pixels = images.reshape(n * height * width, -1)  # (n*h*w, channels)
    corner = np.arange(n, dtype=np.int32)[:, None, None] * np.int32(height * width)
    corner = corner + top * np.int32(width) + left  # of each place its upper left pixel
    # One pixel further; at the far edge its weight is 0, and it may as well be the same.
    below = np.where(top < height - 1, np.int32(width), np.int32(0))
    beside = np.where(left < width - 1, np.int32(1), np.int32(0))
    upper = _mixed(pixels, corner, beside, right)
    lower = _mixed(pixels, corner + below, beside, right)
    return (upper + (lower - upper) * down[..., None]).reshape(images.shape)


def _lattice(
    places: NDArray[np.float32], side: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the pixel before each place, and how far beyond it the place is, in [0, 1)."""
    inside = np.clip(places, 0, side - 1)
    before = inside.astype(np.int32)
    return before, inside - before.astype(np.float32)


def _mixed(
    pixels: NDArray[np.float32],
    first: NDArray[np.int32],
    step: NDArray[np.int32],
    share: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return for each place a pixel and the one a step further, mixed, (n, h, w, channels)."""
    one = pixels.take(first, axis=0)
    return one + (pixels.take(first + step, axis=0) - one) * share[..., None]


def _flipped(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = rng.random(len(images)) < 0.5
    flipped = images.copy()
    flipped[chosen] = images[chosen, :, ::-1]
    return flipped
