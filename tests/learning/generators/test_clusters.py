"""Statistics of a class: what is drawn from them, and where children may lie."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators import clusters
from learning.generators.base import Arrays
from tests.learning.generators.tasks import digits, tabular


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def blobs() -> NDArray[np.float32]:
    """Two long clusters, of 300 and 100 samples, far apart."""
    shape = np.random.default_rng(0).normal(size=(400, 3)) * [3, 1, 0.3]
    shape[300:] += [0, 40, 0]
    return shape.astype(np.float32)


def learned(samples: NDArray[np.float32]) -> Arrays:
    return clusters.learn(samples, 2, 3, rng())


def drawn(state: Arrays, count: int) -> NDArray[np.float32]:
    one = rng()
    home = clusters.homes(state, count, one)
    return clusters.rendered(state, clusters.first(state, home, one), home)


def test_what_is_drawn_has_the_shares_means_and_spreads_of_the_clusters() -> None:
    samples = drawn(learned(blobs()), 4000)
    far = samples[:, 1] > 20
    assert abs(far.mean() - 0.25) < 0.03
    np.testing.assert_allclose(samples[far].mean(axis=0), blobs()[300:].mean(axis=0), atol=0.3)
    np.testing.assert_allclose(samples[~far].std(axis=0), [3, 1, 0.3], rtol=0.15)


def test_a_place_is_found_again_in_its_sample() -> None:
    state = learned(blobs())
    home = clusters.homes(state, 50, rng())
    places = clusters.first(state, home, rng())
    samples = clusters.rendered(state, places, home)
    np.testing.assert_allclose(clusters.located(state, samples, home), places, atol=0.02)


def test_a_child_without_mutation_takes_every_coordinate_from_a_parent() -> None:
    mothers, fathers = np.zeros((200, 6), np.float32), np.ones((200, 6), np.float32)
    children = clusters.crossed(mothers, fathers, 0.0, 1.0, rng())
    assert set(np.unique(children)) == {0, 1}
    assert abs(children.mean() - 0.5) < 0.05


def test_no_child_lies_beyond_the_radius() -> None:
    parents = np.full((200, 6), 1.0, np.float32)
    children = clusters.crossed(parents, parents, 1.0, 1.0, rng())
    lengths = np.linalg.norm(children, axis=1)
    assert lengths.max() <= clusters.radius(6) * 1.0001
    assert (lengths > clusters.radius(6) * 0.9999).mean() > 0.5  # so the bound was put to use


def test_crossed_draws_are_spread_as_draws_are() -> None:
    mothers, fathers = rng().standard_normal((2, 4000, 6), np.float32)
    children = clusters.crossed(mothers, fathers, 0.0, 0.0, rng())
    np.testing.assert_allclose(np.cov(children.T), np.eye(6), atol=0.1)


def test_the_typical_distance_is_that_between_two_samples() -> None:
    samples = blobs()
    state = learned(samples)
    points = clusters.coordinates(state, samples)
    others = rng().permutation(points)
    found = np.sqrt(((points - others) ** 2).sum(axis=1).mean())
    assert clusters.typical_distance(state) == pytest.approx(found, rel=0.1)


def test_images_come_back_with_the_grey_values_of_the_class() -> None:
    samples = digits().of_class(3)
    values = drawn(clusters.learn(samples, 4, 20, rng()), 400)
    assert abs((values == 0).mean() - (samples == 0).mean()) < 0.05


def test_a_cluster_has_samples_enough_to_tell_its_shape() -> None:
    state = clusters.learn(tabular().of_class(0), 1000, 3, rng())  # 45 samples
    assert np.round(state["weights"] * 45).min() >= 1
    assert len(state["weights"]) <= 45 // 8
