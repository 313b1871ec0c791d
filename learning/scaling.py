"""Samples as rows in standard deviations of the real data, so that distances mean the same for every kind of data."""

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from learning.samples import Samples, to_unit

MEASURED = 2000  # samples that mean and standard deviation are taken from, at most
FURTHEST = (
    100.0  # standard deviations; what lies beyond counts as that far, so that sums stay finite
)


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation: of each feature of tabular data, whose units differ, or one for all pixels.

    Attributes:
        centre: (d,) or (1,), float32, of samples as `to_unit` gives them.
        spread: As `centre`; 1 for a feature that never varies.

    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """Measure real samples (n, *shape), n at least 1."""
        values = to_unit(some(samples, MEASURED)).astype(np.float64)
        axis = 0 if samples.ndim == 2 else None
        spread = values.std(axis=axis).reshape(-1)
        centre = values.mean(axis=axis).reshape(-1)
        spread = np.where(spread > 0, spread, 1)
        return cls(centre.astype(np.float32), spread.astype(np.float32))

    def rows(self, samples: Samples) -> NDArray[np.float32]:
        """Return samples (n, *shape) as (n, values of a sample), scaled and bounded by `FURTHEST`."""
        flat = to_unit(samples).reshape(len(samples), prod(samples.shape[1:]))
        with np.errstate(over="ignore"):  # infinite is bounded, too
            rows: NDArray[np.float32] = (flat - self.centre) / self.spread
        return np.clip(rows, -FURTHEST, FURTHEST, out=rows)


def some(samples: Samples, most: int) -> Samples:
    """Return at most so many of the samples, the same ones at every call, in their order."""
    return samples[places(len(samples), most)]


def places(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` indices below `count`, ascending.

    Drawn at random, from `count` alone: evenly spaced ones would pick out one source where two alternate, as in MNIST.
    """
    return np.sort(np.random.default_rng(count).permutation(count)[:most])
