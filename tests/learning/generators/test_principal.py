"""Principal coordinates and Cholesky factors."""

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.principal import Covariance, draw, learn


def values(n: int = 300, f: int = 4) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(n, f)) @ rng.normal(size=(f, f)), np.float32)


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_one_component_has_the_covariance_of_the_samples(covariance: Covariance) -> None:
    given = values()
    learned = learn(given, 1, 4, covariance, np.random.default_rng(0))
    drawn = draw(learned, (4,), 40_000, np.random.default_rng(0))
    expected = np.cov(given.T)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03 * abs(expected).max())
    np.testing.assert_allclose(drawn.mean(axis=0), given.mean(axis=0), atol=0.1)


@pytest.mark.parametrize("covariance", get_args(Covariance))
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_equal_samples_are_repeated(covariance: Covariance, n: int) -> None:
    given = np.repeat(values(1, 30), n, axis=0)
    learned = learn(given, 20, 50, covariance, np.random.default_rng(0))
    drawn = draw(learned, (30,), 3, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, given[:1].repeat(3, axis=0), atol=1e-6)


def test_no_more_coordinates_than_samples_tell() -> None:
    learned = learn(values(5, 30), 20, 50, "full", np.random.default_rng(0))
    assert learned["basis"].shape == (4, 30)
