"""The outcomes of a handler, and what holds when its work is done twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bus import handover
from bus.bus import Bus
from bus.desk import attend
from bus.errors import BusUnavailable, Busy, DeliveryLost, Retry, Unroutable
from bus.memory import MemoryTransport
from bus.stage import Settlement, Stage, Terms, topology
from bus.transport import Envelope, Queue, Receiver, Subscription, Topology
from bus.wire import encode
from schemas.flow import (
    GeneratorFitted,
    Progress,
    RehearsalRequested,
    ReviewDecided,
)
from schemas.message import JobMessage, Message, derived_id
from tests.bus.inbox import Inbox, Watched, WatchedDelivery, until, until_dead, until_depth

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
    async def working(
        self, handle: Handle, of_its_own: float | None = None, **terms: object
    ) -> AsyncIterator[None]:
        stage = replace(
            Stage("planning", (RehearsalRequested,), (GeneratorFitted, Progress), handle),
            deadline_s=of_its_own,
        )
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
    def outcomes(self) -> list[str]:
        return [settlement.outcome for settlement in self.observed]

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
        await until(lambda: len(watched.events) >= 6)
    assert watched.events == [
        *("observe buried", "bury"),
        *("observe retried", "retry"),
        *("observe done", "ack"),
    ]


@pytest.mark.parametrize(
    ("retry_s", "error", "delays_s"),
    [
        (0.5, Busy("no room"), [1, 1, 1, 1, 1]),
        (3, Busy("no room"), [3, 3, 3, 3, 3]),
        (3, StoreAway("no answer"), [3, 6, 12, 24, 48]),
        (3, BusUnavailable("not confirmed"), [3, 6, 12, 24, 48]),
    ],
)
async def test_who_waits_for_room_looks_as_often_the_fifth_time_as_the_first(
    watched: Watched, retry_s: float, error: Exception, delays_s: list[float]
) -> None:
    desk, delays = Desk(watched), []
    handle, _ = failing(*[error] * 5)

    async def postpone(self: WatchedDelivery, delay_s: float, reason: str) -> None:
        delays.append(delay_s)
        await self._delivery.postpone(0.01, reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchedDelivery, "postpone", postpone)
        async with desk.working(handle, retry_s=retry_s):
            await desk.request()
            await desk.outputs.holds(1)

    assert delays == delays_s


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


@pytest.mark.parametrize("refusal", [Busy("no room"), BusUnavailable("not confirmed")])
@pytest.mark.parametrize(
    ("error", "means"),
    [
        (StoreAway("no answer"), "postpone"),
        (Retry("not yet"), "retry"),
        (ZeroDivisionError("by nought"), "bury"),
    ],
)
async def test_message_that_can_be_put_nowhere_is_held_until_it_can(
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception,
    error: Exception,
    means: str,
) -> None:
    monkeypatch.setattr(handover, "FIRST_PAUSE_S", 0.001)
    watched.to_refuse = [refusal] * 3
    desk = Desk(watched)
    handle, calls = failing(error)
    async with desk.working(handle):
        await desk.request()
        await until(lambda: watched.events.count(means) == 4)
        assert len(calls) == 1
        await until_done(desk, buried=means == "bury")
    assert not any(settlement.redelivered for settlement in desk.observed)


async def until_done(desk: Desk, *, buried: bool) -> None:
    if buried:
        await until_dead(desk.transport, PLANNING, 1)
    else:
        await desk.outputs.holds(1)


async def test_message_that_cannot_even_be_postponed_is_left_to_the_broker(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handover, "HOLD_S", 0.0)
    watched.to_refuse = [Busy("no room")]
    desk = Desk(watched)
    handle, calls = failing(BusUnavailable("gone"), BusUnavailable("gone"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
        await until(lambda: "ack" in watched.events)
    assert watched.events == ["postpone", "postpone", "ack"]
    assert [settlement.redelivered for settlement in desk.observed] == [False, True, False]
    assert len(calls) == 3
    assert "handed back: no room" in caplog.text
    assert "Traceback" not in caplog.text


async def test_stop_ends_the_wait_of_what_can_be_put_nowhere(watched: Watched) -> None:
    watched.to_refuse = [Busy("no room")] * 100
    desk = Desk(watched)
    handle, _ = failing(StoreAway("no answer"))
    async with asyncio.timeout(45):  # the pause is shorter than this, the grace time longer
        async with desk.working(handle, grace_s=600.0):
            await desk.request()
            await until(lambda: watched.events == ["postpone"])
    assert await desk.transport.depth(PLANNING) == 1


async def test_nothing_is_tried_on_a_delivery_that_is_lost(watched: Watched) -> None:
    watched.to_refuse = [DeliveryLost("another connection")]
    desk = Desk(watched)
    handle, calls = failing(StoreAway("no answer"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
        await until(lambda: "ack" in watched.events)
    assert watched.events == ["postpone", "ack"]
    assert [settlement.redelivered for settlement in desk.observed] == [False, True]
    assert len(calls) == 2


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


@pytest.mark.parametrize(
    ("made", "least_s", "most_s"),
    [
        (datetime.now(UTC) - timedelta(hours=1), 3600, 7200),
        (datetime.now(UTC) + timedelta(hours=1), 0, 0),
    ],
)
async def test_age_of_a_message_is_never_less_than_nothing(
    desk: Desk, made: datetime, least_s: float, most_s: float
) -> None:
    handle, _ = failing()
    async with desk.working(handle):
        await desk.transport.send(dated(made.isoformat()))
        await desk.outputs.holds(1)
    (settlement,) = desk.observed
    assert least_s <= settlement.waited_s <= most_s


@pytest.mark.parametrize("nonsense", ["", "yesterday", "0001-01-01T00:00:00"])
async def test_time_that_cannot_be_read_is_no_age(desk: Desk, nonsense: str) -> None:
    handle, _ = failing()
    async with desk.working(handle):
        await desk.transport.send(dated(nonsense))
        await desk.outputs.holds(1)
    (settlement,) = desk.observed
    assert settlement.waited_s == 0


def dated(time: str) -> Envelope:
    made = encode(RehearsalRequested(job="job-1", id=UUID(int=1)), "elsewhere")
    return replace(made, headers={**made.headers, "ce-time": time})


async def test_handler_that_hangs_is_cancelled_at_its_deadline_and_buried_in_the_end(
    desk: Desk,
) -> None:
    cancelled = []

    async def hang(_: RehearsalRequested) -> AsyncIterator[JobMessage]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        yield GeneratorFitted(job="never", fitted="x")

    async with desk.working(hang, deadline_s=0.05, attempts=2):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert cancelled == [True, True]
    assert desk.outcomes == ["retried", "buried"]
    assert letter.headers["rdg-reason"].startswith("DeadlineExceeded: planning was not done")
    assert "deadline of 0.05 s" in letter.headers["rdg-reason"]
    assert letter.headers["rdg-attempt"] == "2"


@pytest.mark.parametrize(("of_its_own", "deadline_s"), [(0.05, 30.0), (30.0, 0.05)])
async def test_stage_may_have_a_deadline_of_its_own_up_to_that_of_the_process(
    desk: Desk, of_its_own: float, deadline_s: float
) -> None:
    async def hang(_: RehearsalRequested) -> AsyncIterator[JobMessage]:
        await asyncio.Event().wait()
        yield GeneratorFitted(job="never", fitted="x")

    async with desk.working(hang, of_its_own, deadline_s=deadline_s, attempts=1):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert "deadline of 0.05 s" in letter.headers["rdg-reason"]


async def test_timeout_that_a_handler_raises_is_no_deadline(desk: Desk) -> None:
    handle, _ = failing(TimeoutError("a device did not answer"))
    async with desk.working(handle):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert letter.headers["rdg-reason"] == "TimeoutError: a device did not answer"


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


class Weary:
    """A delivery that says it was postponed very often."""

    redelivered = False
    attempt = 1
    postponed = 10**9

    def __init__(self) -> None:
        self.envelope = encode(RehearsalRequested(job="job-1", id=UUID(int=1)), "here")
        self.delay_s = 0.0

    async def ack(self) -> None:
        raise AssertionError("it is not done")

    async def bury(self, reason: str, trace: str) -> None:
        raise AssertionError(f"buried: {reason}")

    async def retry(self, delay_s: float, reason: str) -> None:
        raise AssertionError(f"not to blame: {reason}")

    async def postpone(self, delay_s: float, reason: str) -> None:
        self.delay_s = delay_s


class Handing(MemoryTransport):
    """Hands one delivery to whoever plans."""

    def __init__(self, delivery: Weary) -> None:
        super().__init__()
        self.delivery = delivery

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        async with super().receive(queue, receiver, prefetch, grace_s) as subscription:
            if queue == PLANNING:
                await receiver(self.delivery)
            yield subscription


async def test_message_that_claims_any_number_of_tries_waits_the_longest_delay() -> None:
    async def away(_: Message) -> AsyncIterator[JobMessage]:
        raise StoreAway
        yield

    delivery = Weary()
    async with Desk(Handing(delivery)).working(away):
        assert delivery.delay_s == 60
