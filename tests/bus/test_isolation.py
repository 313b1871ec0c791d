"""Redelivered messages are worked on one at a time, in any order; all others as before."""

import asyncio

import pytest

from bus import isolation
from bus.isolation import Isolation


async def overlap(redelivered: bool, count: int) -> tuple[int, list[int]]:
    """Return how many turns were held at once at most, and in which order they came."""
    isolated, running, most = Isolation(), 0, 0
    order: list[int] = []

    async def work(number: int) -> None:
        nonlocal running, most
        async with isolated.turn(redelivered):
            running += 1
            most = max(most, running)
            order.append(number)
            await asyncio.sleep(0.001)
            running -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(work(number))
    return most, order


async def test_redelivered_messages_are_worked_on_one_at_a_time_and_in_another_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "PAUSE_S", 0.1)
    most, order = await overlap(True, 20)
    assert most == 1
    assert sorted(order) == list(range(20))
    assert order != list(range(20))  # by chance once in 20! runs


async def test_messages_delivered_for_the_first_time_are_worked_on_at_once() -> None:
    assert await overlap(False, 20) == (20, list(range(20)))


async def test_turn_of_a_cancelled_receiver_goes_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "PAUSE_S", 0.0)
    isolated, holds = Isolation(), asyncio.Event()

    async def hang() -> None:
        async with isolated.turn(True):
            holds.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        stuck = group.create_task(hang())
        await holds.wait()
        stuck.cancel()
        async with isolated.turn(True):
            pass
