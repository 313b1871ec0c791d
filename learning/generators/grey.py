"""Grey values restored: what is drawn from a smooth model blurs, and a table maps its values to real ones.

The table gives each grey value drawn the value of the same rank in the data, so that the histogram of the
class, with its many black and white pixels, comes back. Large images are drawn, and all are counted, in
blocks: memory does not grow with the size of an image.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWN = 1000  # samples whose grey values are set beside those of the class
BLOCK = 2**22  # values that are drawn at once, or those of one sample


def to_grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values clipped to 0 to 255 and rounded."""
    grey: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return grey


def blocks(shape: tuple[int, ...]) -> Iterator[int]:
    """Yield how many samples of a shape to draw, time after time, for a table."""
    most = max(1, BLOCK // math.prod(shape))
    for start in range(0, DRAWN, most):
        yield min(most, DRAWN - start)


def grey_table(samples: NDArray[np.uint8], drawn: Iterable[NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the grey value (256,) of the samples that has the rank of each grey value drawn."""
    return ranked(counted(samples) / samples.size, drawn)


def counted(samples: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each grey value occurs (256,), sample by sample: NumPy counts by copies of 8 bytes."""
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(sample.ravel(), minlength=256)
    return counts


def ranked(shares: NDArray[np.float64], drawn: Iterable[NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the same where of the data only the share (256,) of each grey value is known."""
    counts = np.sum([counted(to_grey(block)) for block in drawn], axis=0)
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    return np.asarray(np.searchsorted(np.cumsum(shares)[:-1], ranks), np.uint8)
