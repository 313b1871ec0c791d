"""The noise is that of the formula, one sample changes no sum by more than is claimed, quality fades slowly."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators import private
from learning.generators.private import (
    MIDDLE,
    SHARES,
    Privacy,
    binned,
    concentrated,
    deviation,
    greys,
    learn,
    multiplied,
    secret,
    summed,
)
from learning.generators.subspaces import Subspaces
from tests.learning.generators.tasks import digits

Floats = NDArray[np.float64]


def test_the_budget_of_epsilon_and_delta_is_that_of_bun_and_steinke() -> None:
    for epsilon, delta in ((0.1, 1e-5), (1, 1e-5), (8, 1e-9)):
        rho = concentrated(epsilon, delta)
        assert rho + 2 * math.sqrt(rho * math.log(1 / delta)) == pytest.approx(epsilon)
    assert concentrated(1, 1e-5) == pytest.approx(0.02083, abs=1e-4)


def test_the_noise_of_all_releases_together_spends_the_budget() -> None:
    """Each spends sensitivity^2 / (2 deviation^2), proposition 1.6; they add up, lemma 1.7."""
    spent = sum(3.0**2 / (2 * deviation(3.0, share * 0.4) ** 2) for share in SHARES.values())
    assert spent == pytest.approx(0.4)


def test_noise_of_no_seed_is_standard_normal() -> None:
    values = secret(20_000)
    assert abs(values.mean()) < 0.04
    assert abs(values.std() - 1) < 0.03
    assert not np.array_equal(values, secret(20_000))


def seeded() -> private.Noise:
    return np.random.default_rng(0).standard_normal


def silent(count: int) -> Floats:
    return np.zeros(count)


PRIVACY = Privacy(epsilon=1, delta=1e-5, clip=64)


def repeated(release: Callable[[private.Noise], Floats], times: int = 400) -> tuple[Floats, Floats]:
    """Return what the release is without noise, and how far from it it is each time."""
    noise = seeded()
    exact = release(silent)
    return exact, np.stack([release(noise) - exact for _ in range(times)])


def test_noise_of_the_mean_is_as_large_as_the_formula_says() -> None:
    samples = digits().of_class(0)
    _, apart = repeated(lambda noise: learn(samples, 10, PRIVACY, noise)[0][:, :10].astype(float))
    rho = 0.2 * concentrated(1, 1e-5)
    expected = 2 * math.sqrt(64) * MIDDLE / math.sqrt(2 * rho) / len(samples)
    assert apart.std() == pytest.approx(expected, rel=0.05)


def test_noise_of_the_products_is_as_large_as_the_formula_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of few samples that are all grey the noise is all there is."""
    seen: list[Floats] = []
    gaussian = private._gaussian

    def watched(covariance: Floats, edge: float) -> Subspaces:
        seen.append(covariance)
        return gaussian(covariance, edge)

    monkeypatch.setattr(private, "_gaussian", watched)
    noise = seeded()
    for _ in range(400):
        learn(np.full((10_000, 2, 3), 128, np.uint8), 6, PRIVACY, noise)
    covariances = np.stack(seen)
    rho = 0.6 * concentrated(1, 1e-5)
    expected = math.sqrt(2) * 6 * 64**2 / math.sqrt(2 * rho) / 10_000
    assert covariances[:, range(6), range(6)].std() == pytest.approx(expected, rel=0.05)
    upper = covariances[:, *np.triu_indices(6, 1)]
    assert upper.std() == pytest.approx(expected / math.sqrt(2), rel=0.05)
    np.testing.assert_array_equal(covariances, covariances.transpose(0, 2, 1))


def test_noise_of_the_grey_values_is_as_large_as_the_formula_says() -> None:
    samples = np.random.default_rng(1).integers(0, 256, (2000, 8, 8), dtype=np.uint8)
    _, apart = repeated(lambda noise: greys(samples, PRIVACY, noise)[:1])
    rho = 0.2 * concentrated(1, 1e-5)
    expected = math.sqrt(2) / math.sqrt(2 * rho) / len(samples)
    assert apart.clip(-1, 1).std() == pytest.approx(expected, rel=0.4)  # cut off at 0


REACH = MIDDLE * math.sqrt(30)
CLIP = 64 * math.sqrt(30)


def neighbours(count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return pairs of images (7, 5, 6) of which one image differs, some as much as can be."""
    rng = np.random.default_rng(0)
    pairs = []
    for turn in range(count):
        one = rng.integers(0, 256, (7, 5, 6), dtype=np.uint8)
        other = one.copy()
        other[turn % 7] = rng.choice([0, 255], (5, 6)) if turn % 2 else 255 * (turn % 4 // 2)
        one[turn % 7] = 255 - other[turn % 7] if turn % 3 else one[turn % 7]
        pairs.append((one, other))
    return pairs


@pytest.mark.parametrize(
    ("released", "sensitivity"),
    [
        (lambda samples: summed(private._coordinates(samples, 30), REACH), 2 * REACH),
        (
            lambda samples: multiplied(private._coordinates(samples, 30), CLIP),
            math.sqrt(2) * CLIP**2,
        ),
        (binned, math.sqrt(2)),
    ],
    ids=["sum", "products", "greys"],
)
def test_one_sample_changes_a_sum_by_no_more_than_its_sensitivity(
    released: Callable[[NDArray[np.uint8]], Floats], sensitivity: float
) -> None:
    changes = [np.linalg.norm(released(one) - released(other)) for one, other in neighbours(300)]
    assert max(changes) <= sensitivity * (1 + 1e-9)
    assert max(changes) > sensitivity / 2  # the bound is no idle one


def test_vectors_beyond_the_bound_change_a_sum_no_more_either() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        one = rng.normal(0, 1000, (4, 5))
        other = np.concatenate([rng.normal(0, 1000, (1, 5)), one[1:]])
        assert np.linalg.norm(summed(one, 1) - summed(other, 1)) <= 2
        changed = np.linalg.norm(multiplied(one, 1) - multiplied(other, 1))
        assert changed <= math.sqrt(2) + 1e-9


def test_without_noise_mean_and_covariance_are_those_of_the_samples() -> None:
    samples = digits().of_class(3)
    mean, deviations = learn(samples, 64, Privacy(1e6, 1e-5, 255), silent)
    coordinates = private._coordinates(samples, 64)
    np.testing.assert_allclose(mean[0], coordinates.mean(axis=0), atol=1e-3)
    covariance = deviations.axes[0].T @ deviations.axes[0]
    expected = np.cov(coordinates.T, bias=True)
    assert np.linalg.norm(covariance - expected) < 0.02 * np.linalg.norm(expected)


def test_axes_that_noise_alone_could_make_are_left_out() -> None:
    flat = np.full((200, 8, 8), 77, np.uint8)
    _, deviations = learn(flat, 40, PRIVACY, seeded())
    assert deviations.axes.shape[1] <= 2


def test_more_samples_or_less_privacy_bring_more_axes() -> None:
    few = digits().of_class(3)
    many = np.tile(few, (20, 1, 1))
    axes = [
        learn(samples, 64, Privacy(epsilon, 1e-5, 64), seeded())[1].axes.shape[1]
        for samples, epsilon in ((few, 1), (many, 1), (many, 10))
    ]
    assert axes[0] < axes[1] < axes[2]


def test_released_grey_values_are_shares_near_the_real_ones() -> None:
    samples = np.tile(digits().of_class(3), (20, 1, 1))
    shares = greys(samples, PRIVACY, seeded())
    assert shares.shape == (256,)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx((samples == 0).mean(), abs=0.03)


def test_a_single_sample_is_hidden() -> None:
    """All of it is noise: nearly the same is released of its negative."""
    sample = digits().of_class(3)[:1]
    mean, _ = learn(sample, 64, PRIVACY, seeded())
    negative, _ = learn(255 - sample, 64, PRIVACY, seeded())
    assert np.linalg.norm(mean - negative) < 0.2 * np.linalg.norm(mean)
