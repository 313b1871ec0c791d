"""Pauses grow, are bounded, and differ from device to device."""

from itertools import islice

from edge_agent.backoff import pauses


def test_pauses_double_up_to_a_bound() -> None:
    waits = list(islice(pauses(first_s=1, longest_s=8), 50))

    ceilings = [1, 2, 4, *[8] * 47]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, ceilings, strict=True))


def test_pauses_differ_between_devices() -> None:
    assert list(islice(pauses(), 5)) != list(islice(pauses(), 5))
