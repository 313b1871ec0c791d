"""A seed stands for a run."""

from tests.chaos.faults import KINDS, schedule


def test_a_seed_gives_the_same_schedule_again() -> None:
    first = schedule(7, 100, list(KINDS))

    assert schedule(7, 100, list(KINDS)) == first
    assert schedule(8, 100, list(KINDS)) != first
    assert {fault.kind for fault in first} == set(KINDS)
