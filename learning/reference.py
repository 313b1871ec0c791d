"""What is kept of real data at the fitting, so that a set made later can be compared with data that is gone.

Of each class the mean and covariance of coarse features, and cells (k-means) with the share of the class that each
holds and the distance within which most of that share lies. No cell stands for fewer than `LEAST` samples and a class
of fewer is not described. That is no guarantee of privacy: a mean of ten samples tells of each of the ten, and a radius
is made of the distances of one or two. Beside a fit that is private (learning/generators/base.py) none of it is kept.

* Features, at most `FEATURES`: means over a grid of equal blocks, 5 by 5 for grey images, 3 by 3 for each of three
  colours, one for each of many channels or of 32 runs of more; of tabular data the features themselves, or means over
  32 runs of them. In standard deviations of the task's data (learning/scaling.py), so those of different tasks are not
  to be compared.
* Kept as float16: of a class of grey images 1.2 KB, and 0.6 KB for all classes together.
"""

from dataclasses import dataclass, fields
from math import isqrt, prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays, Task
from learning.samples import Samples
from learning.scaling import Scaling, some

FEATURES = 32
CELLS = 10
LEAST = 10  # samples of a cell, and of a class that is described
DESCRIBED = 2000  # samples of a class that are looked at, at most
ROUNDS = 20
WITHIN = 0.95  # share of a cell's real samples that lie within its radius
SMALLEST_RADIUS = 0.01


@dataclass(frozen=True)
class ClassReference:
    """What is known of the real samples of one class; p features, k cells.

    Attributes:
        scaling: What features are measured in.
        mean: (p,).
        covariance: (p, p).
        cells: Centres, (k, p).
        masses: Share of the class whose nearest centre it is, (k,); the sum is 1.
        radii: Distance from the centre within which `WITHIN` of them lie, (k,).

    """

    scaling: Scaling
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    cells: NDArray[np.float64]
    masses: NDArray[np.float64]
    radii: NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What is known of the real data of one task; c classes.

    Attributes:
        centre: Of the scaling.
        spread: Of the scaling.
        means: (c, p).
        covariances: Lower triangles, (c, p (p + 1) / 2).
        cells: (c, k, p).
        masses: (c, k); 0 for a cell that there is not, and all 0 for a class that is not described.
        radii: (c, k).

    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    means: NDArray[np.float16]
    covariances: NDArray[np.float16]
    cells: NDArray[np.float16]
    masses: NDArray[np.float16]
    radii: NDArray[np.float16]

    @classmethod
    def of(cls, task: Task) -> Self:
        """Describe real data. The same task gives the same bytes."""
        scaling = Scaling.of(task.samples)
        size = features(task.samples[:1], scaling).shape[1]
        described = [
            _describe(features(some(task.of_class(label), DESCRIBED), scaling), size)
            for label in range(task.n_classes)
        ]
        stacked = (np.stack(each).astype(np.float16) for each in zip(*described, strict=True))
        return cls(scaling.centre, scaling.spread, *stacked)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return what `arrays` gave; ValueError if one is missing."""
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"reference statistics: no {', '.join(missing)}")
        return cls(*(arrays[name] for name in names))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def of_class(self, label: int) -> ClassReference | None:
        """Return what is known of one class; None if it had too few samples to be described."""
        masses = self.masses[label].astype(np.float64)
        there = masses > 0
        if not there.any():
            return None
        p = self.means.shape[1]
        lower = np.zeros((p, p))
        lower[np.tril_indices(p)] = self.covariances[label]
        return ClassReference(
            scaling=Scaling(self.centre, self.spread),
            mean=self.means[label].astype(np.float64),
            covariance=lower + np.tril(lower, -1).T,
            cells=self.cells[label, there].astype(np.float64),
            masses=masses[there] / masses.sum(),
            radii=self.radii[label, there].astype(np.float64),
        )


def features(samples: Samples, scaling: Scaling) -> NDArray[np.float64]:
    """Return block means of samples (n, *shape), (n, p), p at most `FEATURES`."""
    shape = samples.shape[1:] if samples.ndim > 2 else (1, *samples.shape[1:])
    # (n, h, w, channels), a table as an image of one row
    grid = scaling.rows(samples).reshape(len(samples), *shape[:2], prod(shape[2:]))
    grid = _block_means(grid, 3, FEATURES)
    side = isqrt(FEATURES // grid.shape[3])
    across = side if samples.ndim > 2 else FEATURES
    means = _block_means(_block_means(grid, 1, side), 2, across)
    return means.reshape(len(samples), prod(means.shape[1:])).astype(np.float64)


def _block_means(values: NDArray[np.float32], axis: int, most: int) -> NDArray[np.float32]:
    """Return means over at most so many runs along an axis, of lengths that differ by 1 at most."""
    size = values.shape[axis]
    count = min(size, most)
    edges = np.arange(count + 1) * size // count
    sums = np.add.reduceat(values, edges[:-1], axis=axis)
    lengths = np.diff(edges).reshape(-1, *[1] * (values.ndim - axis - 1))
    return np.asarray(sums / lengths.astype(np.float32))


def _describe(rows: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], ...]:
    """Return mean, packed covariance, cells, masses and radii of a class's features (n, p)."""
    cells, masses, radii = np.zeros((CELLS, size)), np.zeros(CELLS), np.zeros(CELLS)
    if len(rows) < LEAST:
        return np.zeros(size), np.zeros(size * (size + 1) // 2), cells, masses, radii
    mean = rows.mean(axis=0)
    covariance = np.einsum("np,nq->pq", rows - mean, rows - mean) / (len(rows) - 1)
    centres = _centres(rows)
    owners, distances = nearest_cells(rows, centres)
    for cell, centre in enumerate(centres):
        own = distances[owners == cell]
        cells[cell], masses[cell] = centre, len(own) / len(rows)
        radii[cell] = max(SMALLEST_RADIUS, np.quantile(own, WITHIN))
    return mean, covariance[np.tril_indices(size)], cells, masses, radii


def _centres(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most `CELLS` means of k-means (Lloyd 1982), each of at least `LEAST` rows (n, p)."""
    count = min(CELLS, len(rows) // LEAST)
    centres = _apart(rows, count)
    for _ in range(ROUNDS):
        owners, _ = nearest_cells(rows, centres)
        counts = np.bincount(owners, minlength=len(centres))
        kept = np.flatnonzero(
            counts >= LEAST
        )  # one at least: there are `LEAST` rows for each centre
        centres = np.stack([rows[owners == cell].mean(axis=0) for cell in kept])
    return _without_small(rows, centres)


def _without_small(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centres without the smallest, one after the other, until each has `LEAST` rows."""
    while len(centres) > 1:
        owners, _ = nearest_cells(rows, centres)
        counts = np.bincount(owners, minlength=len(centres))
        if counts.min() >= LEAST:
            break
        centres = np.delete(centres, counts.argmin(), axis=0)
    return centres


def _apart(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return rows to start from, the next drawn far from those before (k-means++, Arthur and Vassilvitskii 2007)."""
    rng = np.random.default_rng(len(rows))
    chosen = [int(rng.integers(len(rows)))]
    squared = ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and squared.sum() > 0:
        chosen.append(int(rng.choice(len(rows), p=squared / squared.sum())))
        squared = np.minimum(squared, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return rows[chosen]


def nearest_cells(
    rows: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each row (n, p) the nearest centre (k, p) and its distance, (n,) each.

    Without BLAS, whose last bits depend on the number of cores: the bytes of a reference do not.
    """
    norms = np.einsum("kp,kp->k", centres, centres)
    owners = np.asarray((norms - 2 * np.einsum("np,kp->nk", rows, centres)).argmin(axis=1))
    return owners, np.sqrt(((rows - centres[owners]) ** 2).sum(axis=1))
