"""Ready means that messages are taken. A process that is deserted by its bus ends; one whose bus is away does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bus.errors import BusUnavailable
from bus.memory import MemoryTransport
from bus.transport import QUEUE_LIMIT, Queue, QueueStatus, Receiver, Subscription, Topology
from schemas.documents import Job
from schemas.settings import Settings
from store.base import Store
from store.errors import StoreUnavailable
from store.jobs import finish
from tests.bus.inbox import until
from tests.workers.scene import plain
from workers import health, process
from workers.health import Attendance, Health, Kept
from workers.process import work

PATIENCE_S = 30
ORDERS, RETURNS = Queue("packing.orders", "orders", limit=10), Queue("packing.returns", "returns")


class Consumer:
    is_active = True


class Broker(MemoryTransport):
    """A bus that can be away, and whose consumers can be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.is_silent = False
        self.consumers: list[Consumer] = []

    async def status(self, queue: str) -> QueueStatus:
        if self.is_away:
            raise BusUnavailable("no broker")
        if self.is_silent:
            await asyncio.Event().wait()
        return await super().status(queue)

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        async with super().receive(queue, receiver, prefetch, grace_s):
            self.consumers.append(Consumer())
            yield self.consumers[-1]


class Answering:
    """A store that answers as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.pings = 0

    async def ping(self) -> str:
        self.pings += 1
        if self.error:
            raise self.error
        return "SQLite"

    async def tallies(self, key: str) -> dict[str, float]:
        if self.error:
            raise self.error
        return {"completed": 2}


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
async def broker() -> Broker:
    broker = Broker()
    await broker.declare(Topology((ORDERS, RETURNS)))
    return broker


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def attendance(broker: Broker, answering: Answering, consumer: Consumer) -> Attendance:
    store = cast(Store, answering)
    return Attendance(broker, store, (ORDERS, RETURNS), {ORDERS: consumer})


class Silent:
    """A store that never answers, and counts who asks for how it is."""

    def __init__(self) -> None:
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        await asyncio.Event().wait()

    async def tallies(self, key: str) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWER_S", "PING_FOR_S", "VIEW_FOR_S", "CHECK_S", "GONE_S"):
        monkeypatch.setattr(health, name, 0.05)


async def test_nothing_is_missing_when_all_is_there(attendance: Attendance) -> None:
    assert await attendance.missing() == []


async def test_a_lost_consumer_is_missing_until_it_is_back(
    attendance: Attendance, consumer: Consumer
) -> None:
    consumer.is_active = False
    missing = await attendance.missing()
    consumer.is_active = True

    assert missing == ["the consumer of packing.orders is gone and being put back"]
    assert await attendance.missing() == []


async def test_a_store_that_is_away_is_missing(
    attendance: Attendance, answering: Answering
) -> None:
    answering.error = StoreUnavailable("RDG_STORE: no server")

    assert await attendance.missing() == ["RDG_STORE: no server"]


@pytest.mark.usefixtures("_impatient")
async def test_a_store_that_does_not_answer_in_time_is_missing(broker: Broker) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    silent = cast(Store, SimpleNamespace(ping=never))

    missing = await Attendance(broker, silent, (), {}).missing()

    assert missing == ["RDG_STORE: no answer within 0.05 s"]


async def test_many_questions_at_once_are_one_to_the_store(
    attendance: Attendance, answering: Answering
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(attendance.missing())

    assert answering.pings == 1


async def test_an_answer_that_is_too_old_is_asked_for_again() -> None:
    answers = iter("abc")

    async def ask() -> str:
        return next(answers)

    patient, impatient = Kept(ask, 60), Kept(ask, 0)

    assert [await patient.get(), await patient.get()] == ["a", "a"]
    assert [await impatient.get(), await impatient.get()] == ["b", "c"]


async def test_a_question_that_failed_is_not_remembered() -> None:
    failures = [OSError("once")]

    async def ask() -> str:
        if failures:
            raise failures.pop()
        return "answer"

    kept = Kept(ask, 60)
    with pytest.raises(OSError, match="once"):
        await kept.get()

    assert await kept.get() == "answer"


async def test_a_view_tells_of_every_queue_and_of_the_process_itself(
    attendance: Attendance, consumer: Consumer
) -> None:
    consumer.is_active = False

    view = await attendance.view()

    assert (view.ready, view.bus, view.store) == (False, True, True)
    assert set(view.queues) == {"packing.orders", "packing.returns"}
    assert view.limits == {"packing.orders": 10, "packing.returns": QUEUE_LIMIT}
    assert view.consumers == {"packing.orders": False}
    assert view.ended == {"completed": 2}


async def test_a_view_without_servers_is_made_all_the_same(
    attendance: Attendance, broker: Broker, answering: Answering
) -> None:
    broker.is_away, answering.error = True, StoreUnavailable("away")

    view = await attendance.view()

    assert (view.ready, view.bus, view.store) == (False, False, False)
    assert (view.queues, view.ended) == ({}, {})


async def test_silent_servers_are_waited_for_once_and_at_the_same_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_S", 1.0)
    monkeypatch.setattr(health, "PING_FOR_S", 0.0)
    broker.is_silent, silent = True, Silent()
    attendance = Attendance(broker, cast(Store, silent), (ORDERS, RETURNS), {})
    waited: list[float] = []

    @asynccontextmanager
    async def timed(seconds: float) -> AsyncIterator[None]:
        waited.append(asyncio.get_running_loop().time())
        async with timeout(seconds):
            yield

    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", timed)
    view = await attendance.view()

    assert (view.ready, view.bus, view.store) == (False, False, False)
    assert silent.pings == 1
    assert len(waited) == 3
    assert max(waited) - min(waited) < 1.0, "one after the other"


async def test_a_queue_that_is_missing_does_not_make_the_bus_look_away(
    broker: Broker, answering: Answering
) -> None:
    lost = Queue("packing.lost", "lost")
    attendance = Attendance(broker, cast(Store, answering), (lost, ORDERS), {})

    view = await attendance.view()

    assert view.bus
    assert set(view.queues) == {"packing.orders"}


@pytest.mark.usefixtures("_impatient")
async def test_a_consumer_that_stays_away_from_its_queue_is_noticed(
    attendance: Attendance, broker: Broker, consumer: Consumer
) -> None:
    consumer.is_active, broker.is_away = False, True

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        waiting = group.create_task(attendance.deserted())
        await asyncio.wait([waiting], timeout=0.5)  # many times as long as it would take
        assert not waiting.done(), "nobody can help while the bus is away"
        broker.is_away = False

    assert waiting.result() == "packing.orders"


async def test_a_loss_counts_from_its_own_beginning(
    attendance: Attendance, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = 0.0, 0

    def monotonic() -> float:
        nonlocal looks
        looks += 1
        return now

    async def looked() -> None:
        before = looks
        await until(lambda: looks >= before + 3)

    monkeypatch.setattr(health, "CHECK_S", 0.001)
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=monotonic))

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        waiting = group.create_task(attendance.deserted())
        await looked()
        now = 10 * health.GONE_S
        await looked()
        consumer.is_active = False
        now += health.GONE_S - 1
        await looked()
        consumer.is_active = True
        await looked()
        consumer.is_active = False
        now += health.GONE_S - 1
        await looked()
        assert not waiting.done()
        now += 1

    assert waiting.result() == "packing.orders"


async def test_a_process_is_ready_only_between_its_start_and_its_stop(
    attendance: Attendance,
) -> None:
    stop = asyncio.Event()
    own = Health(["packing"], stop)

    assert await own.missing() == ["starting"]
    own.waits("RDG_BUS: no broker at host:5672")
    assert await own.missing() == ["RDG_BUS: no broker at host:5672"]
    async with own.attending(attendance):
        assert await own.missing() == []
        stop.set()
        assert await own.missing() == ["stopping"]


async def test_the_metric_says_ready_as_the_endpoint_does(attendance: Attendance) -> None:
    stop = asyncio.Event()
    own = Health(["packing"], stop)
    told = []

    async with own.attending(attendance):
        await own.look_around()
        told.append(own.metrics.registry.get_sample_value("rdg_ready"))
        stop.set()
        await own.look_around()
        told.append(own.metrics.registry.get_sample_value("rdg_ready"))

    assert told == [1, 0]


@pytest.mark.usefixtures("_impatient")
async def test_a_deserted_worker_ends_in_good_order_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[Broker]:
        yield broker

    monkeypatch.setattr(process, "connect", connect)
    stop = asyncio.Event()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        working = group.create_task(_failure_of(work(Settings(home=tmp_path), ["fleet"], stop)))
        while not broker.consumers:  # noqa: ASYNC110  it subscribes when it is ready
            await asyncio.sleep(0.01)
        broker.consumers[0].is_active = False

    assert stop.is_set()
    assert "the consumer of fleet.device.reported.v1 stayed away" in working.result()


async def _failure_of(working: object) -> str:
    with pytest.raises(BusUnavailable) as caught:
        await working  # type: ignore[misc]
    return str(caught.value)


async def test_each_end_of_a_job_is_counted_once(store: Store) -> None:
    job = Job(id="j-1", token="", model="m", spec=plain())
    await store.insert(job)

    for _ in range(2):
        await finish(store, job, "cancelled", "on request")
    await finish(store, job, "failed", "too late")

    view = await Attendance(MemoryTransport(), store, (), {}).view()
    assert view.ended == {"cancelled": 1}
