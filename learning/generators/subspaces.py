"""A class as a mixture of small linear subspaces: each component a mean and the few axes along which it varies.

Mixture of probabilistic principal component analysers, Tipping and Bishop (1999), "Mixtures of probabilistic principal
component analyzers", with hard assignments: a sample belongs to the component that makes it most likely (section 4.3
has the soft form; on images both teach the same, and the hard one needs a small decomposition for each component
instead of a weighted covariance).

Coordinates are (n, d) float32. A component keeps its mean (d,), its axes (r, d), each as long as the standard
deviation along it, and one residual variance for all other directions. It speaks for several samples, never for one.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST_VARIANCE = 1e-4  # of coordinates whose values have a variance of about 1
LEAST_MEMBERS = (
    10  # samples of a component, where the class has as many: of fewer it would keep too much
)
KMEANS_ROUNDS = 15
BLOCK = 4096  # samples whose densities are computed at once


@dataclass(frozen=True)
class Subspaces:
    """A fitted mixture.

    Attributes:
        weights: (k,), their sum is 1.
        means: (k, d).
        axes: (k, r, d), r below d; orthogonal within a component, zero where it has fewer than r.
        residuals: (k,), variance of each direction that has no axis.

    """

    weights: NDArray[np.float64]
    means: Floats
    axes: Floats
    residuals: NDArray[np.float64]


def learn(
    coordinates: Floats, components: int, rank: int, rounds: int, rng: np.random.Generator
) -> Subspaces:
    """Fit by hard expectation maximisation, from k-means.

    Args:
        coordinates: (n, d), n at least 1.
        components: At most; those that are left with fewer than `LEAST_MEMBERS` samples vanish.
        rank: Axes of a component, at most; never more than its samples can tell.
        rounds: Times that the samples are assigned anew.
        rng: Drawn from once.

    """
    members = _grouped(coordinates, components, rng)
    mixture = _described(coordinates, members, rank)
    for _ in range(rounds):
        moved = _assigned(mixture, coordinates)
        if np.array_equal(moved, members):
            break
        members = moved
        mixture = _described(coordinates, members, rank)
    return mixture


def joint_density(mixture: Subspaces, coordinates: Floats) -> NDArray[np.float64]:
    """Return the log of weight times density, (n, k); Tipping and Bishop (1999), eq. 6 to 8.

    The distance of eq. 8 is that of the residual variance alone, less a part along each axis: what the
    inverse of W W' + s I comes to where the columns of W are orthogonal.
    """
    residuals = mixture.residuals[:, None]
    lengths = np.linalg.norm(mixture.axes, axis=2).astype(np.float64)  # (k, r)
    variances = np.maximum(lengths**2, residuals)
    others = mixture.axes.shape[2] - mixture.axes.shape[1]
    volumes = np.log(variances).sum(axis=1) + others * np.log(mixture.residuals)
    volumes += mixture.axes.shape[2] * np.log(2 * np.pi)
    scales = np.sqrt(1 / residuals - 1 / variances) / np.where(lengths > 0, lengths, 1)
    directions = mixture.axes * scales[:, :, None].astype(np.float32)
    joint = np.empty((len(coordinates), len(mixture.weights)))
    for start in range(0, len(coordinates), BLOCK):
        rows = slice(start, start + BLOCK)
        joint[rows] = _distances(mixture, directions, coordinates[rows])
    joint += volumes
    joint *= -0.5
    joint += np.log(mixture.weights)
    return np.asarray(joint)


def _distances(mixture: Subspaces, directions: Floats, block: Floats) -> NDArray[np.float64]:
    """Return the squared Mahalanobis distance of each sample (b, d) to each component, (b, k)."""
    means, axes = mixture.means, directions.reshape(-1, block.shape[1])  # (k, d), (k * r, d)
    squares = (block**2).sum(axis=1)[:, None] + (means**2).sum(axis=1)  # (b, k)
    apart = (squares - 2 * block @ means.T) / mixture.residuals
    offsets = np.einsum("krd,kd->kr", directions, means).reshape(-1)
    along = (block @ axes.T - offsets).reshape(len(block), *directions.shape[:2])
    return np.asarray(np.maximum(apart - np.einsum("bkr,bkr->bk", along, along), 0))


def draw(mixture: Subspaces, count: int, rng: np.random.Generator) -> Floats:
    """Return coordinates (count, d); a residual of 0 draws on the subspaces alone."""
    component = rng.choice(len(mixture.weights), count, p=mixture.weights)
    along = rng.standard_normal((count, mixture.axes.shape[1]), np.float32)
    drawn = mixture.means[component]
    loadings = _loadings(mixture)
    for one, residual in enumerate(mixture.residuals):
        rows = component == one
        drawn[rows] += along[rows] @ loadings[one]
        if residual:
            grain = rng.standard_normal((int(rows.sum()), drawn.shape[1]), np.float32)
            drawn[rows] += np.float32(np.sqrt(residual)) * grain
    return drawn


def without_residuals(mixture: Subspaces) -> Subspaces:
    """Return a mixture of the same total variance whose axes are as much longer as the residuals are zero.

    A component without axes loses its residual variance.
    """
    k, r, d = mixture.axes.shape
    kept = (mixture.axes**2).sum(axis=(1, 2))
    share = mixture.residuals * (d - r) / np.where(kept > 0, kept, 1)
    longer = np.sqrt(1 + share).astype(np.float32)
    return replace(mixture, axes=mixture.axes * longer[:, None, None], residuals=np.zeros(k))


def _loadings(mixture: Subspaces) -> Floats:
    """Return the axes (k, r, d) less the residual variance, which is added along them too (eq. 7)."""
    variances = (mixture.axes**2).sum(axis=2)
    share = mixture.residuals[:, None] / np.where(variances > 0, variances, 1)
    left = np.sqrt(np.maximum(1 - share, 0)).astype(np.float32)
    return np.asarray(mixture.axes * left[:, :, None])


def _grouped(coordinates: Floats, components: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return which of the components each sample starts in, (n,)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(coordinates, axis=0))
    means = KMeans(
        max(1, min(components, distinct // LEAST_MEMBERS)),
        n_init=1,
        max_iter=KMEANS_ROUNDS,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():  # of samples that differ by their rounding alone
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _renumbered(means.fit_predict(coordinates))


def _assigned(mixture: Subspaces, coordinates: Floats) -> NDArray[np.int64]:
    """Return the likeliest component of each sample, (n,), of those that have enough of them."""
    joint = joint_density(mixture, coordinates)
    counts = np.bincount(joint.argmax(axis=1), minlength=joint.shape[1])
    joint[:, counts < min(LEAST_MEMBERS, counts.max())] = -np.inf
    return _renumbered(joint.argmax(axis=1))


def _renumbered(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same groups numbered from 0 without gaps."""
    return np.asarray(np.unique(members, return_inverse=True)[1], np.int64)


def _described(coordinates: Floats, members: NDArray[np.int64], rank: int) -> Subspaces:
    parts = [_component(coordinates[members == one], rank) for one in range(members.max() + 1)]
    means, axes, residuals = zip(*parts, strict=True)
    most = max(len(own) for own in axes)
    return Subspaces(
        weights=np.bincount(members) / len(members),
        means=np.stack(means),
        axes=np.stack([np.pad(own, ((0, most - len(own)), (0, 0))) for own in axes]),
        residuals=np.array(residuals),
    )


def _component(own: Floats, rank: int) -> tuple[Floats, Floats, float]:
    """Return mean (d,), axes (at most rank, d) and residual variance of a component's samples (m, d)."""
    mean = own.mean(axis=0)
    centred = own - mean
    axes = _axes(centred, max(0, min(rank, len(own) - 2, own.shape[1] - 1)))
    total = np.einsum("md,md->", centred, centred, dtype=np.float64) / max(1, len(own) - 1)
    rest = float(total - (axes**2).sum()) / (own.shape[1] - len(axes))
    return mean, axes, max(LEAST_VARIANCE, rest)


def _axes(centred: Floats, count: int) -> Floats:
    """Return the axes (count, d) of greatest variance of samples (m, d), by the smaller of their two products."""
    m, d = centred.shape
    unit = centred / np.float32(np.sqrt(max(1, m - 1)))
    if m <= d:
        vectors = np.linalg.eigh(unit @ unit.T)[1]
        return np.asarray(vectors.T[::-1][:count] @ unit)
    variances, vectors = np.linalg.eigh(unit.T @ unit)
    lengths = np.sqrt(np.maximum(variances, 0))
    return np.asarray((vectors * lengths).T[::-1][:count])
