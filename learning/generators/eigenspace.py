"""Principal coordinates: a few numbers for each sample, whose distances are nearly those of the samples.

Directions are found on at most `ROWS` samples, evenly spaced over those given, so that neither memory nor
time grows with the task. Features of tabular data, which have units of their own, are first brought to
unit variance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 2000


@dataclass(frozen=True)
class Eigenspace:
    """An affine subspace of the space of samples.

    Attributes:
        centre: (f,), f values a sample.
        spread: Standard deviation of each feature of tabular data, (f,); of all values of images, (1,).
        basis: Orthonormal rows, (d, f), by falling variance; d is 0 where all samples are equal.

    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    basis: NDArray[np.float32]

    def coordinates(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Return coordinates (n, d) of samples (n, *shape)."""
        flat = samples.reshape(len(samples), -1).astype(np.float32)
        return np.asarray((flat - self.centre) / self.spread @ self.basis.T)

    def values(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what lies at coordinates (n, d): unbounded values, (n, f)."""
        return np.asarray(self.centre + self.spread * (coordinates @ self.basis))


def eigenspace(samples: NDArray[Any], dimensions: int) -> Eigenspace:
    """Return the subspace of greatest variance of samples (n, *shape), of that many dimensions at most."""
    from threadpoolctl import threadpool_limits

    rows = np.linspace(0, len(samples) - 1, min(len(samples), ROWS)).astype(np.int64)
    flat = samples[rows].reshape(len(rows), -1).astype(np.float32)
    centre = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = _spread(flat - centre, samples)
    threadpool_limits(1)  # process-wide, and left so: sums do not depend on the number of cores
    _, lengths, directions = np.linalg.svd((flat - centre) / spread, full_matrices=False)
    rank = int(np.count_nonzero(lengths > 1e-4 * max(1.0, float(lengths[0]))))
    return Eigenspace(centre, spread, np.ascontiguousarray(directions[: min(rank, dimensions)]))


def _spread(centred: NDArray[np.float32], samples: NDArray[Any]) -> NDArray[np.float32]:
    tabular = samples.ndim == 2 and samples.dtype == np.float32
    spread = centred.std(axis=0) if tabular else centred.std(keepdims=True).reshape(1)
    return np.where(spread > 0, spread, 1).astype(np.float32)
