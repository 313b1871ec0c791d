"""How long training goes on depends on an epoch's steps alone, the learning rate on the share done alone."""

import pytest

from learning.schedule import learning_rate, planned_epochs


def test_a_constant_rate_stays() -> None:
    assert [learning_rate("constant", 0.1, done) for done in (0, 0.5, 0.99)] == [0.1, 0.1, 0.1]


def test_a_cosine_falls_from_the_rate_to_nothing() -> None:
    rates = [learning_rate("cosine", 0.1, done) for done in (0, 0.25, 0.5, 0.75, 1)]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447, 0], abs=1e-7)


@pytest.mark.parametrize(("steps", "planned"), [(1, 600), (7, 86), (149, 5), (150, 4), (10_000, 4)])
def test_auto_plans_four_epochs_and_more_until_they_make_600_steps(
    steps: int, planned: int
) -> None:
    assert planned_epochs("auto", steps) == planned


def test_a_number_of_epochs_is_what_is_planned() -> None:
    assert planned_epochs(3, 1) == 3
