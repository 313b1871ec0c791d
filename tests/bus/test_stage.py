"""The outcomes of a handler, and what holds when its work is done twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable, Retry
from bus.memory import MemoryTransport
from bus.stage import Settlement, Stage, Terms, attend, topology
from bus.transport import Envelope, Queue, Topology
from schemas.flow import (
    FittingRequested,
    GeneratorFitted,
    Progress,
    RehearsalRequested,
    ReviewDecided,
)
from schemas.message import JobMessage, Message, derived_id
from tests.bus.inbox import Inbox, Watched, until, until_dead, until_depth

PLANNING = "planning.rehearsal.requested.v1"
FITTED = Queue("next.generator.fitted.v1", "generator.fitted.v1")

Handle = Callable[[RehearsalRequested], AsyncIterator[JobMessage]]


class StoreAway(Exception):
    """The store cannot be reached."""


class Desk:
    """A stage at work on a memory bus, what it observed and what came out of it."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.bus = Bus(transport, "here")
        self.observed: list[Settlement] = []
        self.outputs = Inbox()

    async def observe(self, settlement: Settlement) -> None:
        self.observed.append(settlement)

    @asynccontextmanager
    async def working(self, handle: Handle, **terms: object) -> AsyncIterator[None]:
        stage = Stage("planning", (RehearsalRequested,), (GeneratorFitted, Progress), handle)
        await self.transport.declare(topology([stage]) + Topology((FITTED,)))
        settings = {"observe": self.observe, "retry_s": 0.01, "transient": (StoreAway,), **terms}
        async with (
            self.transport.receive(FITTED.name, self.outputs, 10, 1),
            attend(self.bus, [stage], Terms(**settings)),  # type: ignore[arg-type]
        ):
            yield

    async def request(self, number: int = 1, job: str = "job-1") -> None:
        await self.bus.publish(RehearsalRequested(job=job, id=UUID(int=number)))

    @property
    def output_ids(self) -> list[str]:
        return [delivery.envelope.id for delivery in self.outputs.deliveries]


@pytest.fixture
def watched() -> Watched:
    return Watched(PLANNING)


@pytest.fixture
def desk() -> Desk:
    return Desk(MemoryTransport())


async def fit_two(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
    yield GeneratorFitted(job=message.job, fitted="a")
    yield GeneratorFitted(job=message.job, fitted="b")


def failing(*errors: Exception) -> tuple[Handle, list[RehearsalRequested]]:
    """A handler that raises each error in turn, then works; and the calls that it got."""
    calls: list[RehearsalRequested] = []

    async def handle(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        calls.append(message)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        yield GeneratorFitted(job=message.job, fitted="a")

    return handle, calls


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


async def test_retry_gives_the_same_message_again_until_it_works(desk: Desk) -> None:
    handle, calls = failing(Retry("not yet"), Retry("not yet"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
    assert [call.id.int for call in calls] == [1, 1, 1]
    assert [settlement.outcome for settlement in desk.observed] == ["done"]


async def test_an_error_that_no_message_is_to_blame_for_is_retried_without_limit(
    desk: Desk,
) -> None:
    handle, calls = failing(*(StoreAway("no answer") for _ in range(5)))
    async with desk.working(handle, attempts=3):
        await desk.request()
        await desk.outputs.holds(1)
    assert len(calls) == 6
    assert [settlement.outcome for settlement in desk.observed] == ["done"]


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
    assert [settlement.outcome for settlement in desk.observed] == ["buried"]


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
    assert letter.body == b"garbage"
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
    assert await desk.transport.depth(PLANNING) == 0
    assert await desk.transport.dead(PLANNING, 1) == []


async def test_outputs_of_a_repeat_have_the_same_ids() -> None:
    ids = []
    for _ in range(2):
        desk = Desk(MemoryTransport())
        async with desk.working(fit_two):
            await desk.request()
            await desk.outputs.holds(2)
        ids.append(desk.output_ids)
    assert ids[0] == ids[1]
    topic = "generator.fitted.v1"
    assert ids[0] == [str(derived_id(UUID(int=1), "planning", topic, n)) for n in (0, 1)]


async def test_progress_notes_do_not_move_the_ids_of_results(desk: Desk) -> None:
    async def with_notes(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        note = Progress(job=message.job, stage="planning", state="running", done=0, total=2)
        yield note
        yield GeneratorFitted(job=message.job, fitted="a")
        yield note
        yield GeneratorFitted(job=message.job, fitted="b")

    async with desk.working(with_notes):
        await desk.request()
        await desk.outputs.holds(2)
    noted = desk.output_ids
    plain = Desk(MemoryTransport())
    async with plain.working(fit_two):
        await plain.request()
        await plain.outputs.holds(2)
    assert sorted(noted) == sorted(plain.output_ids)


async def test_output_that_has_an_id_keeps_it(desk: Desk) -> None:
    async def stamped(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        yield GeneratorFitted(job=message.job, fitted="a", id=UUID(int=99))

    async with desk.working(stamped):
        await desk.request()
        await desk.outputs.holds(1)
    assert desk.output_ids == [str(UUID(int=99))]


async def test_message_that_was_done_is_not_handled_again_by_the_same_process(desk: Desk) -> None:
    handle, calls = failing()
    async with desk.working(handle):
        await desk.request(1)
        await desk.outputs.holds(1)
        await desk.request(1)
        await desk.request(2)
        await desk.outputs.holds(2)
        await until_depth(desk.transport, PLANNING, 0)
    assert [call.id.int for call in calls] == [1, 2]
    assert len(desk.observed) == 2


async def test_message_that_failed_is_handled_again(desk: Desk) -> None:
    handle, calls = failing(ZeroDivisionError("once"))
    async with desk.working(handle):
        await desk.request(1)
        await until_dead(desk.transport, PLANNING, 1)
        await desk.request(1)
        await desk.outputs.holds(1)
    assert len(calls) == 2


async def test_end_is_observed_before_the_message_is_settled(watched: Watched) -> None:
    async def note(settlement: Settlement) -> None:
        watched.events.append(f"observe {settlement.outcome}")

    desk = Desk(watched)
    handle, _ = failing(ZeroDivisionError("once"), Retry("twice"))
    async with desk.working(handle, observe=note):
        await desk.request(1)
        await until(lambda: len(watched.events) >= 2)
        await desk.request(2)
        await until(lambda: len(watched.events) >= 5)
    assert watched.events == ["observe buried", "bury", "retry", "observe done", "ack"]


async def test_message_is_not_lost_when_its_end_cannot_be_noted_yet(desk: Desk) -> None:
    seen: list[str] = []

    async def observe_third_time(settlement: Settlement) -> None:
        seen.append(settlement.outcome)
        if len(seen) < 3:
            raise StoreAway("no answer")

    async with desk.working(fit_two, observe=observe_third_time):
        await desk.request()
        await until(lambda: len(seen) >= 3)
        await desk.outputs.holds(6)
    assert seen == ["done", "done", "done"]
    assert len(set(desk.output_ids)) == 2


async def test_dead_letter_is_not_lost_when_its_end_cannot_be_noted_yet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.stage.LONGEST_RETRY_S", 0.01)
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


async def test_lost_acknowledgement_does_not_mean_the_work_is_done_again(
    watched: Watched,
) -> None:
    watched.acks_to_lose = 1
    desk = Desk(watched)
    handle, calls = failing()
    async with desk.working(handle):
        await desk.request()
        await until(lambda: watched.events == ["ack", "ack"])
    assert len(calls) == 1
    assert len(desk.output_ids) == 1


def test_stage_has_a_queue_for_each_type_and_each_of_its_routes() -> None:
    async def handle(_: Message) -> AsyncIterator[JobMessage]:
        return
        yield

    stage = Stage("s", (ReviewDecided, FittingRequested), (), handle, routes=("gmm", "gan"))
    assert topology([stage]).queues == (
        Queue("s.review.decided.v1", "review.decided.v1"),
        Queue("s.fitting.requested.v1.gmm", "fitting.requested.v1.gmm"),
        Queue("s.fitting.requested.v1.gan", "fitting.requested.v1.gan"),
    )
