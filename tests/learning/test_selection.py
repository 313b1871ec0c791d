"""The labelling filter: each reason, their order, and that nothing is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.distances import CHUNK, nearest_distances
from learning.selection import REASONS, Criteria, select

SURE = [0.05, 0.95]
UNSURE = [0.4, 0.6]
OTHER = [0.9, 0.1]
BROKEN = [np.nan, np.nan]


def probabilities(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)


def ones(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.ones(count, np.int64)


def test_each_reason_is_counted_once() -> None:
    samples = np.array([[0], [1], [1], [2], [3], [4], [np.nan], [6], [0.1]], np.float32)
    scores = probabilities(SURE, SURE, SURE, OTHER, UNSURE, SURE, SURE, BROKEN, SURE)

    chosen = select(samples, scores, ones(9), Criteria(2, min_confidence=0.8, min_distance=0.5))

    assert chosen.kept.tolist() == [0, 1]
    assert chosen.rejected == {
        "not finite": 2,
        "duplicate": 1,
        "other class": 1,
        "low confidence": 1,
        "near duplicate": 1,
        "surplus": 1,
    }


def test_without_labels_the_model_is_not_asked() -> None:
    samples = np.arange(3, dtype=np.uint8)[:, np.newaxis]
    chosen = select(samples, probabilities(OTHER, UNSURE, SURE), None, Criteria(9, 0.9))
    assert chosen.kept.tolist() == [0, 1, 2]


def test_no_model_at_all_is_no_objection() -> None:
    samples = np.arange(3, dtype=np.uint8)[:, np.newaxis]
    chosen = select(samples, np.empty((3, 0), np.float32), None, Criteria(9, 0.9))
    assert len(chosen.kept) == 3


def test_every_sample_is_judged_by_its_own_label() -> None:
    samples = np.arange(3, dtype=np.uint8)[:, np.newaxis]
    scores = probabilities(OTHER, SURE, SURE)
    chosen = select(samples, scores, np.array([0, 1, 0]), Criteria(9, 0.9))
    assert chosen.kept.tolist() == [0, 1]
    assert chosen.rejected["other class"] == 1


def test_first_in_order_of_arrival_stay() -> None:
    samples = np.array([[5], [3], [5], [1]], dtype=np.uint8)
    chosen = select(samples, probabilities(SURE, SURE, SURE, SURE), ones(4), Criteria(2, 0.5))
    assert chosen.kept.tolist() == [0, 1]
    assert (chosen.rejected["duplicate"], chosen.rejected["surplus"]) == (1, 1)


def test_confidence_at_the_threshold_is_enough() -> None:
    samples = np.zeros((1, 1), dtype=np.uint8)
    scores = np.array([[0.25, 0.75]], np.float32)
    assert len(select(samples, scores, ones(1), Criteria(1, 0.75)).kept) == 1


def test_nothing_in_nothing_out() -> None:
    nothing = np.empty((0, 4), np.uint8)
    chosen = select(nothing, np.empty((0, 2), np.float32), ones(0), Criteria(5, 0.5, 0.5))
    assert chosen.kept.size == 0
    assert not any(chosen.rejected.values())


def test_samples_nearer_than_asked_to_one_kept_before_go() -> None:
    samples = np.array([[0, 0], [30, 30], [50, 50], [60, 60], [255, 255]], np.uint8)
    chosen = select(samples, np.empty((5, 0), np.float32), None, Criteria(9, min_distance=0.15))
    # 30/255 is too near to 0; 50/255 is far enough from 0, though near to the one that went.
    assert chosen.kept.tolist() == [0, 2, 4]
    assert chosen.rejected["near duplicate"] == 2


def test_a_sample_that_went_for_another_reason_crowds_nobody_out() -> None:
    samples = np.array([[0], [0.1], [1]], np.float32)
    scores = probabilities(OTHER, SURE, SURE)
    chosen = select(samples, scores, ones(3), Criteria(9, min_distance=0.5))
    assert chosen.kept.tolist() == [1, 2]


def test_distances_are_kept_across_chunks() -> None:
    samples = np.random.default_rng(0).random((3 * CHUNK // 2, 2), np.float32)
    chosen = select(
        samples, np.empty((len(samples), 0), np.float32), None, Criteria(999, min_distance=0.1)
    )
    rows = samples[chosen.kept].astype(np.float64)
    assert 0 < len(rows) < CHUNK
    assert nearest_distances(rows, rows, np.arange(len(rows))).min() >= 0.1 - 1e-6
    assert nearest_distances(samples.astype(np.float64), rows).max() < 0.1 + 1e-6  # no more fit in


@given(
    values=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("inf")]), st.floats(0, 1)), max_size=30
    ),
    target=st.sampled_from([None, 0, 1]),
    wanted=st.integers(0, 30),
    min_confidence=st.floats(0, 1),
    min_distance=st.floats(0, 3),
)
def test_every_sample_is_kept_or_has_one_reason(
    values: list[tuple[float, float]],
    target: int | None,
    wanted: int,
    min_confidence: float,
    min_distance: float,
) -> None:
    samples = np.array([[value] for value, _ in values], dtype=np.float32).reshape(-1, 1)
    scores = np.array([[p, 1 - p] for _, p in values], dtype=np.float32).reshape(-1, 2)
    labels = None if target is None else np.full(len(values), target, np.int64)

    chosen = select(samples, scores, labels, Criteria(wanted, min_confidence, min_distance))

    kept = samples[chosen.kept]
    assert tuple(chosen.rejected) == REASONS
    assert len(kept) + sum(chosen.rejected.values()) == len(samples)
    assert len(kept) <= wanted
    assert np.isfinite(kept).all()
    assert len(np.unique(kept)) == len(kept)
    assert (np.diff(chosen.kept) > 0).all()


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ({"wanted": -1}, "wanted: -1, give at least 0"),
        ({"min_confidence": 1.5}, "min_confidence: 1.5, give 0 to 1"),
        ({"min_distance": -0.1}, "min_distance: -0.1, give at least 0"),
        ({"min_distance": np.inf}, "min_distance: inf, give at least 0"),
    ],
)
def test_criterion_out_of_range_is_named(criteria: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Criteria(**{"wanted": 1} | criteria)  # type: ignore[arg-type]  # the mistakes under test


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        (3, [1, 1], r"probabilities: shape \(3, 2\), give \(2, k\)"),
        (2, [1, 2], r"labels: shape \(2,\), give \(2,\) classes from 0 to 1"),
        (2, [1], r"labels: shape \(1,\), give \(2,\) classes from 0 to 1"),
    ],
)
def test_arrays_that_do_not_belong_together_are_named(
    rows: int, labels: list[int], said: str
) -> None:
    samples = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match=said):
        select(samples, np.ones((rows, 2), np.float32), np.array(labels), Criteria(1))
