"""Statistics of a class that a search cannot leave: clusters of normal shape on principal coordinates.

A sample is described by its place in a cluster: coordinates whose mean is 0 and whose covariance is the
unit matrix there. Places that are normally distributed are samples of the cluster, and the operators of
the search keep them so: a child takes each coordinate from one of two parents, a mutation is small, and no
place lies beyond a radius.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays
from learning.generators.eigenspace import Eigenspace, eigenspace
from learning.generators.grey import blocks, grey_table, to_grey

Places = NDArray[np.float32]
Homes = NDArray[np.int64]

ROUNDS = 20
LEAST_VARIANCE = 1e-3  # of coordinates whose values have a variance of about 1
SPAN = 4  # standard deviations of a coordinate, taken as the range of its values


def learn(
    samples: NDArray[Any], components: int, dimensions: int, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return statistics of samples (n, *shape) of one class, of that size at most."""
    space = eigenspace(samples, dimensions)
    points = space.coordinates(samples)
    home = _grouped(points, components, rng)
    means = _means(points, home)
    half = {"basis": space.basis, "means": means, "factors": _factors(points - means[home], home)}
    learned: dict[str, NDArray[Any]] = {"centre": space.centre, "spread": space.spread}
    learned["weights"] = np.bincount(home) / len(home)
    learned |= {name: array.astype(np.float16) for name, array in half.items()}
    if samples.dtype == np.uint8:
        learned["grey"] = grey_table(samples, _drawn(learned, samples.shape[1:], rng))
    return learned


def _drawn(
    learned: Arrays, shape: tuple[int, ...], rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield values (n, f), block by block, whose greys are set beside those of the class."""
    for count in blocks(shape):
        home = homes(learned, count, rng)
        yield _values(learned, first(learned, home, rng), home)


def _grouped(points: Places, components: int, rng: np.random.Generator) -> Homes:
    """Return the cluster of each point (n,) by k-means: enough points each to tell its shape."""
    enough = 2 * (points.shape[1] + 1)
    count = max(1, min(components, len(points) // enough))
    means = points[rng.choice(len(points), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = ((means**2).sum(axis=1) - 2 * points @ means.T).argmin(axis=1)
        home = np.unique(nearest, return_inverse=True)[1].astype(np.int64)  # none is empty
        means = _means(points, home)
    return home


def _means(points: Places, home: Homes) -> Places:
    return np.stack([points[home == one].mean(axis=0) for one in range(home.max() + 1)])


def _factors(centred: Places, home: Homes) -> NDArray[np.float32]:
    """Return lower Cholesky factors (k, d (d + 1) / 2) of the covariances, packed.

    Each is drawn towards the mean of all, as if that had been seen in d points more.
    """
    d = centred.shape[1]
    common = centred.T @ centred / len(centred) + LEAST_VARIANCE * np.eye(d)
    packed = []
    for one in range(home.max() + 1):
        own = centred[home == one]
        covariance = (own.T @ own + (d + 1) * common) / (len(own) + d + 1)
        packed.append(np.linalg.cholesky(covariance)[np.tril_indices(d)])
    return np.stack(packed).astype(np.float32)


def homes(learned: Arrays, count: int, rng: np.random.Generator) -> Homes:
    """Return clusters (count,), each as often as its share of the data says."""
    weights = learned["weights"]
    return rng.choice(len(weights), count, p=weights / weights.sum())


def first(learned: Arrays, home: Homes, rng: np.random.Generator) -> Places:
    """Return places (n, d) drawn from the clusters (n,)."""
    return _bounded(rng.standard_normal((len(home), learned["means"].shape[1]), np.float32))


def crossed(
    mothers: Places, fathers: Places, rate: float, scale: float, rng: np.random.Generator
) -> Places:
    """Return the places (n, d) of children; a share `rate` of the coordinates moves by `scale`."""
    mixed = np.where(rng.random(mothers.shape, np.float32) < 0.5, mothers, fathers)
    moved = rng.random(mixed.shape, np.float32) < rate
    moves = rng.standard_normal(mixed.shape, np.float32) * np.float32(scale * SPAN)
    return _bounded(mixed + moved * moves)


def radius(dimensions: int) -> float:
    """Return how far from the mean a place may lie; 2 % of normally distributed ones lie beyond."""
    return float(np.sqrt(dimensions + 2 * np.sqrt(2 * dimensions)))


def _bounded(places: Places) -> Places:
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    farthest = radius(places.shape[1])
    return np.asarray(places * np.minimum(1, farthest / np.maximum(lengths, 1e-6)), np.float32)


def rendered(learned: Arrays, places: Places, home: Homes) -> NDArray[Any]:
    """Return what lies at places (n, d) of clusters (n,): values (n, f), of images with real greys."""
    values = _values(learned, places, home)
    return np.asarray(learned["grey"][to_grey(values)]) if "grey" in learned else values


def _values(learned: Arrays, places: Places, home: Homes) -> NDArray[np.float32]:
    points = learned["means"].astype(np.float32)[home]
    for one in np.unique(home):
        points[home == one] += places[home == one] @ _factor(learned, one).T
    return _space(learned).values(points)


def located(learned: Arrays, samples: NDArray[Any], home: Homes) -> Places:
    """Return the places (n, d), in clusters (n,), that are nearest to samples (n, *shape)."""
    points = coordinates(learned, samples) - learned["means"].astype(np.float32)[home]
    for one in np.unique(home):
        points[home == one] = np.linalg.solve(_factor(learned, one), points[home == one].T).T
    return points


def coordinates(learned: Arrays, samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return principal coordinates (n, d) of samples (n, *shape)."""
    return _space(learned).coordinates(samples)


def typical_distance(learned: Arrays) -> float:
    """Return the root mean square of the distance between two samples, in coordinates."""
    weights, means = learned["weights"], learned["means"].astype(np.float64)
    within = weights @ (learned["factors"].astype(np.float64) ** 2).sum(axis=1)
    between = weights @ ((means - weights @ means) ** 2).sum(axis=1)
    return float(np.sqrt(2 * (within + between) / weights.sum()))


def _space(learned: Arrays) -> Eigenspace:
    return Eigenspace(learned["centre"], learned["spread"], learned["basis"].astype(np.float32))


def _factor(learned: Arrays, component: int) -> NDArray[np.float32]:
    d = learned["means"].shape[1]
    factor = np.zeros((d, d), np.float32)
    factor[np.tril_indices(d)] = learned["factors"][component]
    return factor
