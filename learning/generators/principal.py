"""The arrays that stand for a class under `gmm`'s covariances "full", "tied" and "diag": fitted and drawn from.

* Principal coordinates are found for each class, not shared by the task, so that a class stays a unit
  that can be counted, moved and forgotten alone, and a fit can pause between classes.
* Covariances are kept as Cholesky factors, packed: half the numbers, and rounding them to float16
  cannot make them indefinite. Sampling needs numpy alone; scikit-learn is imported by the fit.
"""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays

Covariance = Literal["full", "tied", "diag"]

LARGE = ("centre", "basis", "means", "factors")


def learn(
    values: NDArray[np.float32],
    components: int,
    dimensions: int,
    covariance: Covariance,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Return the arrays that stand for values (n, *shape), whose variance is about 1."""
    flat = values.reshape(len(values), -1)
    centre = flat.mean(axis=0, dtype=np.float64).astype(np.float32)  # exact where all are equal
    coordinates, basis = _principal(flat - centre, dimensions, rng)
    return {"centre": centre, "basis": basis} | _mixture(coordinates, components, covariance, rng)


def _principal(
    centred: NDArray[np.float32], dimensions: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return coordinates (n, d) and basis (d, f); d is 0 where all samples are equal."""
    from sklearn.decomposition import PCA

    dimensions = min(dimensions, len(centred) - 1, centred.shape[1])
    if dimensions == 0 or not centred.any():
        return np.zeros((len(centred), 0), np.float32), np.zeros((0, centred.shape[1]), np.float32)
    pca = PCA(dimensions, random_state=int(rng.integers(2**31)))
    coordinates = pca.fit_transform(centred)
    return coordinates, pca.components_.astype(np.float32)


def _mixture(
    coordinates: NDArray[np.float32],
    components: int,
    covariance: Covariance,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Return weights (k,), means (k, d), factors: (k or 1, d (d + 1) / 2), if diagonal (k, d)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    d = coordinates.shape[1]
    if d == 0:
        return {"weights": np.ones(1), "means": np.zeros((1, 0)), "factors": np.zeros((1, 0))}
    distinct = len(np.unique(coordinates, axis=0))
    mixture = GaussianMixture(
        max(1, min(components, distinct // 2)),
        covariance_type=covariance,
        reg_covar=1e-3,
        random_state=int(rng.integers(2**31)),
        init_params="k-means++",
        tol=1e-2,
    )
    with warnings.catch_warnings():  # a mixture that still improves a little is good enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(coordinates)
    return {
        "weights": mixture.weights_,
        "means": mixture.means_,
        "factors": _factors(mixture.covariances_, d, covariance),
    }


def _factors(covariances: NDArray[Any], d: int, covariance: str) -> NDArray[Any]:
    if covariance == "diag":
        return np.asarray(np.sqrt(covariances))
    cholesky = np.linalg.cholesky(covariances.reshape(-1, d, d))
    packed: NDArray[Any] = cholesky[:, *np.tril_indices(d)]
    return packed


def draw(
    learned: Arrays, shape: tuple[int, ...], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return values (count, *shape) of the mixture, unbounded."""
    weights, means = learned["weights"], learned["means"].astype(np.float32)
    component = rng.choice(len(weights), count, p=weights / weights.sum())
    noise = rng.standard_normal((count, means.shape[1]), np.float32)
    for one in range(len(means)):
        rows = component == one
        noise[rows] = means[one] + noise[rows] @ _factor(learned, one).T
    values = learned["centre"].astype(np.float32) + noise @ learned["basis"].astype(np.float32)
    return values.reshape(count, *shape)


def _factor(learned: Arrays, component: int) -> NDArray[np.float32]:
    """Return the Cholesky factor (d, d) of a component."""
    d = learned["means"].shape[1]
    packed = learned["factors"][component % len(learned["factors"])].astype(np.float32)
    if len(packed) == d:
        return np.diag(packed)
    factor = np.zeros((d, d), np.float32)
    factor[np.tril_indices(d)] = packed
    return factor
