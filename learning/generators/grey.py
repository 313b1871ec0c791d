"""Grey values restored: what is drawn from a smooth model blurs, and a table maps its values to real ones.

The table gives each grey value drawn the value of the same rank in the data, so that the histogram of the
class, with its many black and white pixels, comes back.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values clipped to 0 to 255 and rounded."""
    grey: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return grey


def grey_table(samples: NDArray[np.uint8], drawn: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the grey value (256,) of the samples that has the rank of each grey value drawn."""
    return ranked(np.bincount(samples.ravel(), minlength=256) / samples.size, drawn)


def ranked(shares: NDArray[np.float64], drawn: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the same where of the data only the share (256,) of each grey value is known."""
    counts = np.bincount(to_grey(drawn).ravel(), minlength=256)
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    return np.asarray(np.searchsorted(np.cumsum(shares)[:-1], ranks), np.uint8)
