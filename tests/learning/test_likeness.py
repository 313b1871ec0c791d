"""Figures against real data that is gone: real samples score best, and each fault lowers its figure."""

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.base import Task
from learning.likeness import Likeness, likeness, tally
from learning.reference import WITHIN, ClassReference, Reference

ANGLES = np.linspace(0, 2 * np.pi, 8, endpoint=False)


def real(count: int, seed: int) -> NDArray[np.float32]:
    """Samples in eight clusters on a ring, equally often."""
    rng = np.random.default_rng(seed)
    angles = rng.permutation(np.resize(ANGLES, count))
    centres = np.stack([np.cos(angles), np.sin(angles), angles * 0], axis=1)
    return (10 * centres + rng.normal(size=(count, 3))).astype(np.float32)


@lru_cache
def reference() -> ClassReference:
    known = Reference.of(Task(real(2000, 0), np.zeros(2000, np.int64), 1)).of_class(0)
    assert known is not None
    return known


def figures(samples: NDArray[np.float32]) -> Likeness:
    found = likeness(tally(samples, reference()).astype(np.float64), reference())
    assert found is not None
    return found


@pytest.mark.parametrize("count", [50, 200, 2000])
def test_fresh_real_samples_score_like_real_ones(count: int) -> None:
    found = [figures(real(count, seed)) for seed in range(1, 6)]
    assert np.mean([each.fidelity for each in found]) == pytest.approx(WITHIN, abs=0.03)
    assert np.mean([each.coverage for each in found]) > (0.8 if count < 200 else 0.92)
    assert np.mean([each.drift for each in found]) < 0.02


def test_samples_that_are_all_the_mean_drift_by_one() -> None:
    collapsed = np.repeat(real(2000, 0).mean(axis=0, keepdims=True), 100, axis=0)
    assert figures(collapsed).drift == pytest.approx(1, abs=0.03)


def test_a_mean_that_is_off_by_one_standard_deviation_drifts_by_one() -> None:
    samples = real(2000, 1)
    spread = np.sqrt(np.trace(np.cov((samples / reference().scaling.spread).T)))
    moved = samples.copy()
    moved[:, 0] += spread * reference().scaling.spread[0]
    assert figures(moved).drift == pytest.approx(1, abs=0.03)


def test_noise_is_not_faithful() -> None:
    noise = np.random.default_rng(1).uniform(-30, 30, (200, 3)).astype(np.float32)
    assert figures(noise).fidelity < 0.3
    assert figures(noise).drift > 1


def test_a_missing_mode_lowers_coverage_by_its_share_and_leaves_fidelity() -> None:
    samples = real(2000, 1)
    half = samples[samples[:, 1] > 0]
    assert figures(half).fidelity == pytest.approx(WITHIN, abs=0.03)
    assert figures(half).coverage < 0.65


def test_repeats_of_one_real_sample_cover_one_cell() -> None:
    samples = np.repeat(real(1, 3), 100, axis=0)
    assert figures(samples).coverage < 0.2


def test_tallies_of_shards_add_up_in_any_order() -> None:
    samples = real(300, 1)
    shards = [tally(part, reference()).astype(np.float64) for part in np.array_split(samples, 7)]
    whole = figures(samples)
    for order in (shards, shards[::-1]):
        merged = likeness(np.sum(order, axis=0), reference())
        assert merged is not None
        assert vars(merged) == pytest.approx(vars(whole), abs=1e-5)


def test_an_empty_shard_adds_nothing() -> None:
    empty = tally(real(8, 1)[:0], reference())
    assert not empty.any()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_samples_have_no_likeness(count: int) -> None:
    total = tally(real(8, 1)[:count], reference()).astype(np.float64)
    assert likeness(total, reference()) is None


def test_a_tally_of_other_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="a tally of 3 sums"):
        likeness(np.ones(3), reference())


def test_samples_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        tally(np.full((2, 3), np.nan, np.float32), reference())


def test_values_of_any_size_leave_finite_figures() -> None:
    found = figures(np.array([[3e38, -3e38, 3e38]] * 3, np.float32))
    assert found.fidelity == 0
    assert np.isfinite(found.drift)
