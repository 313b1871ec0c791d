"""The labelling filter: each reason, their order, and that nothing is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.selection import REASONS, select

SURE = [0.05, 0.95]
UNSURE = [0.4, 0.6]
OTHER = [0.9, 0.1]
BROKEN = [np.nan, np.nan]


def probabilities(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)


def test_each_reason_is_counted_once() -> None:
    samples = np.array([[0], [1], [1], [2], [3], [4], [np.nan], [6]], np.float32)
    scores = probabilities(SURE, SURE, SURE, OTHER, UNSURE, SURE, SURE, BROKEN)

    chosen = select(scores, 1, samples, wanted=2, min_confidence=0.8, trusted=False)

    assert chosen.kept.tolist() == [0, 1]
    assert chosen.rejected == {
        "not finite": 2,
        "duplicate": 1,
        "other class": 1,
        "low confidence": 1,
        "surplus": 1,
    }


@pytest.mark.parametrize(("target", "trusted"), [(1, True), (None, False), (None, True)])
def test_model_is_not_asked_about_trusted_or_unknown_classes(
    target: int | None, trusted: bool
) -> None:
    samples = np.arange(3, dtype=np.uint8)[:, np.newaxis]
    chosen = select(probabilities(OTHER, UNSURE, SURE), target, samples, 9, 0.9, trusted)
    assert chosen.kept.tolist() == [0, 1, 2]


def test_no_model_at_all_is_no_objection() -> None:
    samples = np.arange(3, dtype=np.uint8)[:, np.newaxis]
    chosen = select(np.empty((3, 0), np.float32), None, samples, 9, 0.9, trusted=False)
    assert len(chosen.kept) == 3


def test_first_in_order_of_arrival_stay() -> None:
    samples = np.array([[5], [3], [5], [1]], dtype=np.uint8)
    chosen = select(probabilities(SURE, SURE, SURE, SURE), 1, samples, 2, 0.5, trusted=False)
    assert chosen.kept.tolist() == [0, 1]
    assert (chosen.rejected["duplicate"], chosen.rejected["surplus"]) == (1, 1)


def test_confidence_at_the_threshold_is_enough() -> None:
    samples = np.zeros((1, 1), dtype=np.uint8)
    assert (
        len(select(np.array([[0.25, 0.75]], np.float32), 1, samples, 1, 0.75, trusted=False).kept)
        == 1
    )


def test_nothing_in_nothing_out() -> None:
    chosen = select(np.empty((0, 2), np.float32), 1, np.empty((0, 4), np.uint8), 5, 0.5, False)
    assert chosen.kept.size == 0
    assert not any(chosen.rejected.values())


@given(
    values=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("inf")]), st.floats(0, 1)), max_size=30
    ),
    target=st.sampled_from([None, 0, 1]),
    wanted=st.integers(0, 30),
    min_confidence=st.floats(0, 1),
    trusted=st.booleans(),
)
def test_every_sample_is_kept_or_has_one_reason(
    values: list[tuple[float, float]],
    target: int | None,
    wanted: int,
    min_confidence: float,
    trusted: bool,
) -> None:
    samples = np.array([[value] for value, _ in values], dtype=np.float32).reshape(-1, 1)
    scores = np.array([[p, 1 - p] for _, p in values], dtype=np.float32).reshape(-1, 2)

    chosen = select(scores, target, samples, wanted, min_confidence, trusted)

    kept = samples[chosen.kept]
    assert tuple(chosen.rejected) == REASONS
    assert len(kept) + sum(chosen.rejected.values()) == len(samples)
    assert len(kept) <= wanted
    assert np.isfinite(kept).all()
    assert len(np.unique(kept)) == len(kept)
    assert (np.diff(chosen.kept) > 0).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": 2}, "target: 2, give 0 to 1 or None"),
        ({"wanted": -1}, "wanted: -1"),
        ({"min_confidence": 1.5}, "min_confidence: 1.5, give 0 to 1"),
        ({"probabilities": np.ones((3, 2), np.float32)}, r"probabilities: shape \(3, 2\)"),
    ],
)
def test_argument_out_of_range_is_named(changed: dict[str, object], said: str) -> None:
    arguments: dict[str, object] = {
        "probabilities": probabilities(SURE, SURE),
        "target": 1,
        "samples": np.zeros((2, 3), np.uint8),
        "wanted": 1,
        "min_confidence": 0.5,
        "trusted": False,
    }
    with pytest.raises(ValueError, match=said):
        select(**arguments | changed)  # type: ignore[arg-type]  # the mistakes under test
