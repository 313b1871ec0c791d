"""The scale of samples: the range that values may take, and the way back to the task's dtype."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def value_range(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return the least and the greatest value allowed, (2, ...), to broadcast against one sample.

    Grey values span 0 to 255. Of float32, images share one range, the one seen; tabular data has
    one for each feature.
    """
    if samples.ndim == 2 and samples.dtype == np.float32:
        return np.stack([samples.min(axis=0), samples.max(axis=0)])
    ends = (0, 255) if samples.dtype == np.uint8 else (samples.min(), samples.max())
    return np.array(ends, np.float32).reshape(2, *[1] * (samples.ndim - 1))


def to_samples(values: NDArray[Any], bounds: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values (n, *shape) clipped to `value_range` and, if grey values, rounded."""
    clipped: NDArray[Any] = np.clip(values, bounds[0], bounds[1])
    return (np.rint(clipped) if dtype == np.uint8 else clipped).astype(dtype)
