"""How alike the samples of a set are to real data that is gone, by the statistics kept of it (learning/reference.py).

A set comes in shards, in any order: `tally` sums up each, tallies are added, `likeness` reads the total.

* Fidelity: share of samples inside the cell whose centre is nearest; `WITHIN` for real samples. The precision of
  Kynkäänniemi et al. (2019, arXiv 1904.06991), with balls around averages instead of around samples.
* Coverage: share of the real data whose cells are reached as often as real samples would reach them; 1 for as many real
  samples, somewhat less where they are few (their recall, weighed as in Naeem et al. 2020, arXiv 2002.09797).
* Drift: Fréchet distance of the two Gaussians (Heusel et al. 2017, arXiv 1706.08500), less what as many real samples
  would score by chance, over the variance of the real samples. 0 for real samples; 1 for a mean that is off by one
  standard deviation, or for samples that are all the class's mean.

All see what the coarse features show, and nothing finer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.reference import WITHIN, ClassReference, features, nearest_cells
from learning.samples import Samples

LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Likeness:
    """Figures of the samples of one class.

    Attributes:
        fidelity: In [0, 1].
        coverage: In [0, 1].
        drift: 0 or more.

    """

    fidelity: float
    coverage: float
    drift: float


def tally(samples: Samples, reference: ClassReference) -> NDArray[np.float32]:
    """Return sums over samples (n, *shape), n 0 or more, that add up over shards.

    They are one array: count, number inside each cell (k), sum of features less the real mean (p), and the lower
    triangle of the sum of their products (p (p + 1) / 2).

    Raises:
        ValueError: A sample is not finite.

    """
    rows = features(samples, reference.scaling)
    if not np.isfinite(rows).all():
        raise ValueError("samples: not finite, and so like nothing")
    owners, distances = nearest_cells(rows, reference.cells)
    inside = owners[distances <= reference.radii[owners]]
    reached = np.bincount(inside, minlength=len(reference.cells))
    off = rows - reference.mean
    products = np.einsum("np,nq->pq", off, off)[np.tril_indices(off.shape[1])]
    return np.concatenate([[len(rows)], reached, off.sum(axis=0), products]).astype(np.float32)


def likeness(total: NDArray[np.float64], reference: ClassReference) -> Likeness | None:
    """Return the figures of all samples whose tallies make up the total; None for fewer than two.

    Raises:
        ValueError: The tallies are of other statistics.

    """
    k, p = reference.cells.shape
    if len(total) != 1 + k + p + p * (p + 1) // 2:
        raise ValueError(f"a tally of {len(total)} sums is not one of {k} cells and {p} features")
    count, reached, sums, products = np.split(total, [1, 1 + k, 1 + k + p])
    if (n := float(count[0])) < 2:
        return None
    off = sums / n
    lower = np.zeros((p, p))
    lower[np.tril_indices(p)] = products
    covariance = (lower + np.tril(lower, -1).T) / n - np.outer(off, off)
    return Likeness(
        fidelity=float(reached.sum() / n),
        coverage=min(1.0, float(np.minimum(reference.masses, reached / (n * WITHIN)).sum())),
        drift=_drift(off, covariance * n / (n - 1), n, reference.covariance),
    )


def _drift(
    off: NDArray[np.float64], covariance: NDArray[np.float64], n: float, real: NDArray[np.float64]
) -> float:
    """Return the normalised Fréchet distance, at least 0."""
    variances, axes = np.linalg.eigh(real)
    variances = np.maximum(variances, 0)
    root = axes * np.sqrt(variances)  # root @ root.T is `real`
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ covariance @ root), 0)).sum()
    distance = off @ off + np.trace(covariance) + variances.sum() - 2 * shared
    excess = distance - _by_chance(variances, n)
    return max(0.0, float(excess / max(LEAST_VARIANCE, variances.sum())))


def _by_chance(variances: NDArray[np.float64], n: float) -> float:
    """Return the Fréchet distance expected of n real samples, from second-order terms of their mean and covariance."""
    sums = np.maximum(variances[:, np.newaxis] + variances, LEAST_VARIANCE)
    spread = np.outer(variances, variances) / sums  # (p, p)
    return float(variances.sum() + spread.sum() / 2 + np.trace(spread) / 2) / n
