"""The outcomes of a handler: each is noted, and none loses its message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from bus.bus import Bus
from bus.desk import attend
from bus.errors import BusUnavailable, Busy, Retry, Unroutable
from bus.memory import MemoryTransport
from bus.stage import Settlement, Stage, Terms, topology
from bus.transport import Envelope, Receiver, Subscription, Topology
from schemas.flow import GeneratorFitted, Progress, RehearsalRequested, ReviewDecided
from schemas.message import JobMessage, Message
from tests.bus.desk import FITTED, PLANNING, Desk, StoreAway, failing, fit_two
from tests.bus.inbox import Watched, until, until_dead, until_depth


async def test_finished_handler_has_its_outputs_published_and_its_message_acknowledged(
    desk: Desk,
) -> None:
    async with desk.working(fit_two):
        await desk.request()
        await desk.outputs.holds(2)
    messages = [
        await desk.bus.open(delivery.envelope, GeneratorFitted)
        for delivery in desk.outputs.deliveries
    ]
    assert [message.fitted for message in messages] == ["a", "b"]
    assert await desk.transport.depth(PLANNING) == 0
    (settlement,) = desk.observed
    assert (settlement.stage, settlement.outcome, settlement.run) == ("planning", "done", "job-1.1")
    assert settlement.message == RehearsalRequested(job="job-1", id=UUID(int=1))
    assert settlement.bytes_in > 0
    assert settlement.bytes_out == sum(map(len, desk.outputs.bodies))
    assert settlement.seconds >= 0
    assert (settlement.queue, settlement.attempt, settlement.redelivered) == (PLANNING, 1, False)


async def test_retry_gives_the_same_message_again_until_it_works(desk: Desk) -> None:
    handle, calls = failing(Retry("not yet"), Retry("not yet"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
    assert [call.id.int for call in calls] == [1, 1, 1]
    assert desk.outcomes == ["retried", "retried", "done"]
    assert [settlement.attempt for settlement in desk.observed] == [1, 2, 3]


async def test_an_error_that_no_message_is_to_blame_for_is_postponed_without_limit(
    desk: Desk,
) -> None:
    handle, calls = failing(*(StoreAway("no answer") for _ in range(5)))
    async with desk.working(handle, attempts=3):
        await desk.request()
        await desk.outputs.holds(1)
    assert len(calls) == 6
    assert desk.outcomes == ["postponed"] * 5 + ["done"]


@pytest.mark.parametrize(
    "passing", [StoreAway("no answer"), Busy("no room"), BusUnavailable("not confirmed")]
)
async def test_what_passes_is_no_attempt_of_the_message(
    desk: Desk, passing: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.desk.BUSY_S", 0.01)
    handle, _ = failing(passing, passing, Retry("not yet"), passing, passing)
    async with desk.working(handle, attempts=2):
        await desk.request()
        await desk.outputs.holds(1)
    assert [settlement.attempt for settlement in desk.observed] == [1, 1, 1, 2, 2, 2]
    assert not any(settlement.redelivered for settlement in desk.observed)
    assert desk.outcomes == [*["postponed"] * 2, "retried", *["postponed"] * 2, "done"]
    assert await desk.transport.dead(PLANNING, 1) == []


async def test_what_a_handler_asks_to_have_again_is_buried_after_the_last_attempt(
    desk: Desk,
) -> None:
    handle, calls = failing(*(Retry("not yet") for _ in range(10)))
    async with desk.working(handle, attempts=3):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert len(calls) == 3
    assert letter.headers["rdg-reason"] == "Retry: not yet"
    assert letter.headers["rdg-attempt"] == "3"
    assert desk.outcomes == ["retried", "retried", "buried"]


async def test_other_error_is_buried_at_once_with_its_traceback(desk: Desk) -> None:
    handle, calls = failing(ZeroDivisionError("by nought"))
    async with desk.working(handle):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert len(calls) == 1
    assert letter.headers["rdg-reason"] == "ZeroDivisionError: by nought"
    assert "in handle" in letter.headers["rdg-trace"]
    (settlement,) = desk.observed
    assert (settlement.outcome, settlement.reason) == ("buried", "ZeroDivisionError: by nought")
    assert desk.output_ids == []


async def test_cancelled_handler_leaves_its_message_for_the_next_one(desk: Desk) -> None:
    begun = asyncio.Event()

    async def hang(_: RehearsalRequested) -> AsyncIterator[JobMessage]:
        begun.set()
        await asyncio.Event().wait()
        yield GeneratorFitted(job="never", fitted="x")

    async with desk.working(hang, grace_s=0.01):
        await desk.request()
        await begun.wait()
    assert desk.observed == []
    async with desk.working(fit_two):
        await desk.outputs.holds(2)


async def test_unreadable_body_is_buried_at_once(desk: Desk) -> None:
    async with desk.working(fit_two):
        headers = {"ce-type": "io.rdg.rehearsal.requested.v1", "ce-subject": "job-9"}
        await desk.transport.send(Envelope("rehearsal.requested.v1", "1", b"garbage", headers))
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert letter.headers["rdg-reason"].startswith("Unreadable: ")
    assert letter.size_bytes == len(b"garbage")
    (settlement,) = desk.observed
    assert (settlement.outcome, settlement.message, settlement.run) == ("buried", None, "job-9")


async def test_expired_message_is_acknowledged_unread(desk: Desk) -> None:
    class Empty:
        async def put_part(self, data: bytes, owner: str) -> str:
            return "0" * 64

        async def get_part(self, digest: str) -> bytes:
            raise LookupError(digest)

    desk.bus = Bus(desk.transport, "here", Empty(), inline_bytes=1)
    handle, calls = failing()
    async with desk.working(handle):
        await desk.request()
        await until_depth(desk.transport, PLANNING, 0)
    assert calls == []
    assert desk.outcomes == ["expired"]
    assert await desk.transport.depth(PLANNING) == 0
    assert await desk.transport.dead(PLANNING, 1) == []


async def test_end_is_observed_before_the_message_is_settled(watched: Watched) -> None:
    async def note(settlement: Settlement) -> None:
        watched.events.append(f"observe {settlement.outcome}")

    desk = Desk(watched)
    handle, _ = failing(ZeroDivisionError("once"), Retry("twice"))
    async with desk.working(handle, observe=note):
        await desk.request(1)
        await until(lambda: len(watched.events) >= 2)
        await desk.request(2)
        await until(lambda: len(watched.events) >= 6)
    assert watched.events == [
        *("observe buried", "bury"),
        *("observe retried", "retry"),
        *("observe done", "ack"),
    ]


async def test_message_is_not_lost_when_its_end_cannot_be_noted_yet(desk: Desk) -> None:
    seen: list[str] = []

    async def observe_fifth_time(settlement: Settlement) -> None:
        seen.append(settlement.outcome)
        if len(seen) < 5:
            raise StoreAway("no answer")

    async with desk.working(fit_two, observe=observe_fifth_time):
        await desk.request()
        await until(lambda: len(seen) >= 5)
        await desk.outputs.holds(6)
    assert seen == ["done", "postponed", "done", "postponed", "done"]
    assert len(set(desk.output_ids)) == 2


async def test_dead_letter_is_not_lost_when_its_end_cannot_be_noted_yet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.desk.LONGEST_RETRY_S", 0.01)
    seen: list[str] = []

    async def observe_second_time(settlement: Settlement) -> None:
        seen.append(settlement.outcome)
        if len(seen) < 2:
            raise StoreAway("no answer")

    handle, _ = failing(*(ZeroDivisionError("always") for _ in range(10)))
    async with desk.working(handle, observe=observe_second_time):
        await desk.request()
        await until_dead(desk.transport, PLANNING, 1)
    assert seen == ["buried", "buried"]


async def test_broken_observer_does_not_keep_a_message_from_its_dead_letter_queue(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Settlement) -> None:
        raise TypeError("a bug")

    handle, _ = failing(ZeroDivisionError("by nought"))
    async with desk.working(handle, observe=broken):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert letter.headers["rdg-reason"] == "ZeroDivisionError: by nought"
    assert "could not be noted" in caplog.text


async def test_handler_that_meets_a_lost_bus_leaves_its_message_for_later(desk: Desk) -> None:
    handle, calls = failing(BusUnavailable("gone"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
    assert len(calls) == 2
    assert await desk.transport.dead(PLANNING, 1) == []


class Departures(MemoryTransport):
    """Notes which queues were left, before what runs is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.left: set[str] = set()

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        async with super().receive(queue, receiver, prefetch, grace_s) as subscription:
            yield subscription
            self.left.add(queue)


async def test_no_queue_is_taken_from_while_another_is_worked_off() -> None:
    transport = Departures()
    desk = Desk(transport)
    release, begun = asyncio.Event(), asyncio.Event()

    async def hold(_: Message) -> AsyncIterator[GeneratorFitted]:
        begun.set()
        await release.wait()
        yield GeneratorFitted(job="job-1", fitted="a")

    stage = Stage("planning", (ReviewDecided, RehearsalRequested), (GeneratorFitted,), hold)
    await transport.declare(topology([stage]) + Topology((FITTED,)))

    async def work() -> None:
        async with attend(desk.bus, [stage], Terms(grace_s=30)):
            await begun.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await desk.request()
        await until(lambda: transport.left == {queue.name for queue in stage.queues})
        release.set()
    assert await transport.depth(FITTED.name) == 1


async def test_queue_that_cannot_be_taken_from_is_an_error_at_once(desk: Desk) -> None:
    handle, _ = failing()
    stage = Stage("planning", (RehearsalRequested,), (GeneratorFitted, Progress), handle)
    with pytest.raises(Unroutable, match="planning"):
        async with attend(desk.bus, [stage], Terms()):
            pass
