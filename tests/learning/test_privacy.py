"""Each attack catches a generator that stores records, and lets one pass that knows only their distribution."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.privacy import (
    closeness,
    membership,
    membership_by_distance,
    preference,
)


def drawn(seed: int, count: int = 400) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


TRAINING, HELD_OUT = drawn(1), drawn(2)
STORED = TRAINING + drawn(3) * np.float32(0.01)
HONEST = drawn(4)


def test_membership_of_stored_records_is_seen() -> None:
    attack = membership_by_distance(TRAINING, HELD_OUT, STORED)
    assert attack.area > 0.99
    assert attack.advantage > 0.95


def test_membership_behind_independent_samples_is_not_seen() -> None:
    attack = membership_by_distance(TRAINING, HELD_OUT, HONEST)
    assert attack.area == pytest.approx(0.5, abs=0.05)
    assert attack.advantage < 0.12


def test_stored_records_are_nearest_to_training_records() -> None:
    assert preference(TRAINING, HELD_OUT, STORED) > 0.99
    assert preference(TRAINING, HELD_OUT, HONEST) == pytest.approx(0.5, abs=0.08)


def test_more_training_records_would_be_nearer_by_chance() -> None:
    with pytest.raises(ValueError, match="400 training and 399 held-out"):
        preference(TRAINING, HELD_OUT[1:], HONEST)


def test_stored_records_are_copies() -> None:
    found = closeness(TRAINING, STORED, 400)
    assert found.copies == 1
    assert found.distance < found.distance_real / 10


def test_independent_samples_are_copies_as_seldom_as_real_ones() -> None:
    found = closeness(TRAINING, HONEST, 400)
    assert found.copies == pytest.approx(found.copies_real, abs=0.04)
    assert found.distance == pytest.approx(found.distance_real, rel=0.1)


def test_data_that_repeats_itself_makes_no_copies_of_independent_samples() -> None:
    table = (HELD_OUT[:, :2] > 0).astype(np.float32)  # four different records
    found = closeness(table, (HONEST[:, :2] > 0).astype(np.float32), 400)
    assert (found.copies, found.copies_real) == (1, 1)


@pytest.mark.parametrize(
    ("of_training", "of_others", "area", "advantage"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1, 1),
        ([0.0, 1.0], [2.0, 3.0], 0, 0),
        ([1.0, 1.0], [1.0, 1.0], 0.5, 0),
        ([1.0, 3.0], [0.0, 2.0], 0.75, 0.5),
    ],
)
def test_area_and_advantage_of_known_scores(
    of_training: list[float], of_others: list[float], area: float, advantage: float
) -> None:
    found = membership(np.array(of_training), np.array(of_others))
    assert (found.area, found.advantage) == pytest.approx((area, advantage))
