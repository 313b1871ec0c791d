"""Images as sums of cosines, the slowest first: coordinates that need no basis kept.

The type-II discrete cosine transform in its orthonormal form (Ahmed, Natarajan and Rao 1974), along height and width,
each channel by itself. Most of an image lies in its first few hundred coefficients, so a class can be described by
those alone, in few bits each, as still-image codecs do.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def analyse(images: Floats, count: int) -> Floats:
    """Return the first coefficients (n, count) of images (n, h, w) or (n, h, w, c), the slowest first.

    There are as many as an image has values; asked for more, all are returned.
    """
    shape = images.shape[1:]
    u, v, channel = places = _places(shape, count)
    planes = images.reshape(*images.shape[:3], math.prod(shape[2:]))
    high, wide = _waves(shape, places)
    waves = np.einsum("uh,nhwc,vw->nuvc", high, planes, wide, optimize=True)
    return np.asarray(waves[:, u, v, channel])


def synthesise(coefficients: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the images (n, *shape) of their first coefficients (n, any count); the others are 0."""
    u, v, channel = places = _places(shape, coefficients.shape[1])
    high, wide = _waves(shape, places)
    waves = np.zeros((len(coefficients), len(high), len(wide), math.prod(shape[2:])), np.float32)
    waves[:, u, v, channel] = coefficients
    images = np.einsum("uh,nuvc,vw->nhwc", high, waves, wide, optimize=True)
    return np.asarray(images.reshape(-1, *shape), np.float32)


def _places(shape: tuple[int, ...], count: int) -> Places:
    """Return u, v and channel of the slowest coefficients, (count,) each; channels of a wave lie together.

    Slow is a small sum of the two frequencies, each in waves per side of the image.
    """
    u, v = np.arange(shape[0])[:, None] / shape[0], np.arange(shape[1])[None, :] / shape[1]
    channels = math.prod(shape[2:])
    frequency = np.repeat((u + v).reshape(-1), channels)
    slowest = np.argsort(frequency, kind="stable")[:count]
    high, wide, channel = np.unravel_index(slowest, (*shape[:2], channels))
    return high, wide, channel


def _waves(shape: tuple[int, ...], places: Places) -> tuple[Floats, Floats]:
    """Return the waves along height and width, as far as these places need them."""
    u, v, _ = places
    return _cosines(shape[0], int(u.max()) + 1), _cosines(shape[1], int(v.max()) + 1)


def _cosines(size: int, count: int) -> Floats:
    """Return the first rows (count, size) of the orthonormal matrix whose row u is the wave of frequency u."""
    u, x = np.arange(count)[:, None], np.arange(size)[None, :]
    waves = np.cos(np.pi * u * (2 * x + 1) / (2 * size)) * np.sqrt(2 / size)
    waves[0] = np.sqrt(1 / size)
    return np.asarray(waves, np.float32)
