"""Redelivered messages are worked on one at a time, in any order; all others as before."""

import asyncio
from dataclasses import dataclass, field

import pytest

from bus import handover, isolation
from bus.errors import BusUnavailable, Busy, DeliveryLost
from bus.isolation import isolated
from bus.transport import Delivery, Envelope, Receiver
from tests.bus.inbox import envelope


@dataclass
class Handed:
    """A delivery that notes when it is postponed."""

    number: int
    redelivered: bool
    envelope: Envelope = field(default_factory=envelope)
    attempt: int = 1
    postponed: int = 0
    refusals: list[Exception] = field(default_factory=list)

    async def postpone(self, delay_s: float, reason: str) -> None:
        self.postponed += 1
        if self.refusals:
            raise self.refusals.pop(0)

    async def ack(self) -> None:
        raise AssertionError("it was not worked on")

    async def retry(self, delay_s: float, reason: str) -> None:
        raise AssertionError("that is an attempt")

    async def bury(self, reason: str, trace: str) -> None:
        raise AssertionError("it is innocent")


async def overlap(redelivered: bool, count: int) -> tuple[int, list[int]]:
    """Return how many turns were held at once at most, and in which order they came."""
    running, most = 0, 0
    order: list[int] = []

    async def work(delivery: Delivery) -> None:
        nonlocal running, most
        assert isinstance(delivery, Handed)
        running += 1
        most = max(most, running)
        order.append(delivery.number)
        await asyncio.sleep(0.001)
        running -= 1

    receive = isolated(work, asyncio.Event())
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(give(receive, Handed(number, redelivered)))
    return most, order


async def give(receive: Receiver, delivery: Handed) -> None:
    await receive(delivery)


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
    holds, done = asyncio.Event(), []

    async def hang_first(delivery: Delivery) -> None:
        if not holds.is_set():
            holds.set()
            await asyncio.Event().wait()
        done.append(delivery)

    receive, last = isolated(hang_first, asyncio.Event()), Handed(2, redelivered=True)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        stuck = group.create_task(give(receive, Handed(1, redelivered=True)))
        await holds.wait()
        stuck.cancel()
        await receive(last)
    assert done == [last]


@pytest.mark.parametrize(
    "refusals",
    [
        [],
        [BusUnavailable("not confirmed")] * 2,
        [Busy("no room")] * 2,
        [DeliveryLost("another connection")],
    ],
)
async def test_who_gets_no_turn_in_time_is_put_back_as_soon_as_it_can_be(
    monkeypatch: pytest.MonkeyPatch, refusals: list[Exception]
) -> None:
    tries = 1 if isinstance(next(iter(refusals), None), DeliveryLost) else len(refusals) + 1
    monkeypatch.setattr(handover, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(isolation, "PAUSE_S", 0.0)
    monkeypatch.setattr(isolation, "TURN_S", 0.05)
    holds, done = asyncio.Event(), asyncio.Event()
    received = []

    async def hang(delivery: Delivery) -> None:
        received.append(delivery)
        holds.set()
        await done.wait()

    receive, first = isolated(hang, asyncio.Event()), Handed(1, redelivered=True)
    waiting = Handed(2, redelivered=True, refusals=list(refusals))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(give(receive, first))
        await holds.wait()
        await receive(waiting)
        done.set()
    assert received == [first]
    assert (first.postponed, waiting.postponed) == (0, tries)
