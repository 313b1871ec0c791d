"""Densities against SciPy's, what is drawn against the densities, and classes of few samples."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp  # type: ignore[import-untyped]
from scipy.stats import multivariate_normal  # type: ignore[import-untyped]

from learning.generators import subspaces
from learning.generators.subspaces import LEAST_MEMBERS, Subspaces, draw, joint_density, learn

Floats = NDArray[np.float32]


def mixture() -> Subspaces:
    """Two components in 6 dimensions; the first has three axes, the second two."""
    rng = np.random.default_rng(0)
    directions = np.stack([np.linalg.qr(rng.normal(size=(6, 3)))[0].T for _ in range(2)])
    lengths = np.array([[3, 2, 1.5], [2, 1, 0]])
    return Subspaces(
        weights=np.array([0.3, 0.7]),
        means=rng.normal(0, 3, (2, 6)).astype(np.float32),
        axes=(directions * lengths[:, :, None]).astype(np.float32),
        residuals=np.array([0.5, 0.2]),
    )


def covariance(of: Subspaces, one: int) -> NDArray[np.float64]:
    """Return W W' + s I whose variance along an axis is the axis's length squared."""
    axes = of.axes[one].astype(np.float64)
    squares = (axes**2).sum(axis=1, keepdims=True)
    units = axes / np.sqrt(np.where(squares > 0, squares, 1))
    return np.asarray(axes.T @ axes + of.residuals[one] * (np.eye(6) - units.T @ units))


def samples(n: int, d: int = 12, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 3, (4, d))
    return (centres[rng.integers(0, 4, n)] + rng.normal(size=(n, d))).astype(np.float32)


def test_densities_are_those_of_the_gaussians() -> None:
    some = np.random.default_rng(1).normal(0, 3, (40, 6)).astype(np.float32)
    expected = np.stack(
        [
            np.log(weight)
            + multivariate_normal(mixture().means[one], covariance(mixture(), one)).logpdf(some)
            for one, weight in enumerate(mixture().weights)
        ],
        axis=1,
    )
    np.testing.assert_allclose(joint_density(mixture(), some), expected, rtol=1e-4)


def test_one_axis_less_than_dimensions_and_the_residual_are_a_full_covariance() -> None:
    some = samples(300, 4)
    fitted = learn(some, 1, 12, 3, np.random.default_rng(0))
    expected = multivariate_normal(some.mean(axis=0), np.cov(some.T)).logpdf(some)
    assert fitted.axes.shape == (1, 3, 4)
    np.testing.assert_allclose(joint_density(fitted, some)[:, 0], expected, rtol=1e-4)


def test_what_is_drawn_has_the_weights_means_and_covariances_of_the_densities() -> None:
    drawn = draw(mixture(), 40_000, np.random.default_rng(0))
    nearest = joint_density(mixture(), drawn).argmax(axis=1)
    assert abs((nearest == 0).mean() - 0.3) < 0.02
    whole = replaced_weights(mixture(), [0.0, 1.0])
    second = draw(whole, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(second.mean(axis=0), whole.means[1], atol=0.05)
    np.testing.assert_allclose(np.cov(second.T), covariance(whole, 1), atol=0.12)


def replaced_weights(of: Subspaces, weights: list[float]) -> Subspaces:
    return Subspaces(np.array(weights), of.means, of.axes, of.residuals)


def test_without_residuals_drawn_samples_stay_on_the_subspaces() -> None:
    flat = Subspaces(np.ones(1), mixture().means[:1], mixture().axes[:1], np.zeros(1))
    apart = draw(flat, 50, np.random.default_rng(0)) - flat.means[0]
    assert np.linalg.matrix_rank(apart, tol=1e-4) == 3


def test_axes_and_residual_are_those_of_the_covariance() -> None:
    some = samples(500)
    fitted = learn(some, 1, 3, 3, np.random.default_rng(0))
    variances = np.linalg.eigvalsh(np.cov(some.T))[::-1]
    np.testing.assert_allclose((fitted.axes[0] ** 2).sum(axis=1), variances[:3], rtol=1e-3)
    np.testing.assert_allclose(fitted.residuals, variances[3:].mean(), rtol=1e-3)
    np.testing.assert_allclose(fitted.means[0], some.mean(axis=0), atol=1e-4)


def test_fewer_samples_than_dimensions_give_the_same_axes() -> None:
    few = samples(10, 40)
    fitted = learn(few, 1, 5, 3, np.random.default_rng(0))
    variances = np.linalg.eigvalsh(np.cov(few.T))[::-1]
    np.testing.assert_allclose((fitted.axes[0] ** 2).sum(axis=1), variances[:5], rtol=1e-3)


def test_clusters_are_found() -> None:
    some = samples(400)
    fitted = learn(some, 4, 2, 6, np.random.default_rng(0))
    alone = learn(some, 1, 2, 6, np.random.default_rng(0))
    densities = [logsumexp(joint_density(each, some), axis=1).mean() for each in (fitted, alone)]
    assert densities[0] > densities[1] + 1


def test_no_component_speaks_for_fewer_samples_than_the_least() -> None:
    some = np.concatenate([samples(60), np.full((1, 12), 50, np.float32)])  # and an outlier
    fitted = learn(some, 1000, 3, 6, np.random.default_rng(0))
    assert (fitted.weights * 61 > LEAST_MEMBERS - 0.5).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_samples_are_one_component(n: int) -> None:
    fitted = learn(samples(n), 100, 12, 6, np.random.default_rng(0))
    np.testing.assert_allclose(fitted.means, samples(n).mean(axis=0, keepdims=True), atol=1e-5)
    assert fitted.axes.shape[1] == max(0, n - 2)


def test_equal_samples_are_one_component_without_spread() -> None:
    fitted = learn(np.full((50, 5), 2, np.float32), 10, 3, 6, np.random.default_rng(0))
    drawn = draw(fitted, 100, np.random.default_rng(0))
    assert abs(drawn - 2).max() < 0.1


def test_densities_of_many_samples_take_little_memory_beside_the_result() -> None:
    d, k, rank, n = 50, 20, 8, 40_000
    rng = np.random.default_rng(0)
    large = Subspaces(
        np.full(k, 1 / k),
        rng.normal(size=(k, d)).astype(np.float32),
        rng.normal(size=(k, rank, d)).astype(np.float32),
        np.ones(k),
    )
    some = rng.normal(size=(n, d)).astype(np.float32)
    tracemalloc.start()
    result = joint_density(large, some)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < result.nbytes + 4 * subspaces.BLOCK * k * rank * 4
