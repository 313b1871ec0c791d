"""What is counted: each settlement once, under bounded labels, and what is seen around the process."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from bus.stage import Settlement, Stage
from bus.transport import QueueStatus
from schemas.flow import Progress, RehearsalRequested
from tests.bus.inbox import until
from workers import metrics
from workers.metrics import Metrics, Surroundings, View

QUEUE = "planning.rehearsal.requested.v1"
LABELS = {"stage": "planning", "queue": QUEUE}


def settlement(**fields: object) -> Settlement:
    defaults: dict[str, object] = {
        "stage": "planning",
        "queue": QUEUE,
        "message": None,
        "run": "j-1.1",
        "outcome": "done",
        "seconds": 0.2,
        "bytes_in": 100,
    }
    return Settlement(**(defaults | fields))  # type: ignore[arg-type]


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def planning(handled: asyncio.Event) -> Stage[RehearsalRequested, Progress]:
    """A stage that has its message in hand until told."""

    async def handle(message: RehearsalRequested) -> AsyncIterator[Progress]:
        await handled.wait()
        yield Progress(job=message.job, stage="planning", state="submitted", done=0, total=1)

    return Stage("planning", (RehearsalRequested,), (Progress,), handle)


def test_a_settlement_is_counted_by_stage_queue_and_outcome() -> None:
    counted = Metrics("1")

    counted.settled(settlement(bytes_out=7, waited_s=2.0))
    counted.settled(settlement(outcome="retried", redelivered=True))

    own = counted.registry
    assert value(own, "rdg_messages_total", **LABELS, outcome="done") == 1
    assert value(own, "rdg_messages_total", **LABELS, outcome="retried") == 1
    assert value(own, "rdg_redeliveries_total", **LABELS) == 1
    assert value(own, "rdg_received_bytes_total", stage="planning") == 200
    assert value(own, "rdg_published_bytes_total", stage="planning") == 7
    assert value(own, "rdg_handler_seconds_sum", stage="planning") == pytest.approx(0.4)
    assert value(own, "rdg_message_age_seconds_bucket", **LABELS, le="1.0") == 1
    assert value(own, "rdg_message_age_seconds_bucket", **LABELS, le="5.0") == 2


def test_counters_begin_at_zero_so_that_the_first_failure_is_an_increase() -> None:
    counted = Metrics("1")

    counted.counted(planning(asyncio.Event()))

    for outcome in ("done", "retried", "expired", "buried"):
        assert value(counted.registry, "rdg_messages_total", **LABELS, outcome=outcome) == 0
    assert value(counted.registry, "rdg_redeliveries_total", **LABELS) == 0


async def test_a_message_is_in_flight_while_its_handler_runs() -> None:
    counted, handled = Metrics("1"), asyncio.Event()
    stage = counted.counted(planning(handled))
    message = RehearsalRequested(id=UUID(int=1), job="j-1")

    async def run() -> list[Progress]:
        return [output async for output in stage.handle(message)]

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await until(
            lambda: value(counted.registry, "rdg_messages_in_flight", stage="planning") == 1
        )
        handled.set()

    assert [output.job for output in running.result()] == ["j-1"]
    assert value(counted.registry, "rdg_messages_in_flight", stage="planning") == 0


async def test_a_cancelled_handler_is_no_longer_in_flight() -> None:
    counted = Metrics("1")
    stage = counted.counted(planning(asyncio.Event()))
    handling = stage.handle(RehearsalRequested(id=UUID(int=1), job="j-1"))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(handling)

    assert value(counted.registry, "rdg_messages_in_flight", stage="planning") == 0


def test_no_label_names_a_job_or_a_message() -> None:
    counted = Metrics("1")
    counted.settled(settlement())
    counted.surroundings.show(View(queues={QUEUE: QueueStatus(1, 2, 3)}, ended={"failed": 1}))

    families = list(counted.registry.collect())
    labels = {label for each in families for sample in each.samples for label in sample.labels}

    assert labels == {"stage", "queue", "outcome", "state", "version", "le"}


def test_two_systems_may_live_in_one_process() -> None:
    one, other = Metrics("1"), Metrics("1")

    one.settled(settlement())

    assert value(other.registry, "rdg_messages_total", **LABELS, outcome="done") is None


def test_a_view_is_shown_as_it_is() -> None:
    seen = Metrics("1")

    seen.surroundings.show(
        View(
            ready=True,
            bus=True,
            queues={QUEUE: QueueStatus(waiting=4, receivers=2, dead=3)},
            limits={QUEUE: 9},
            consumers={QUEUE: False},
            ended={"failed": 5},
        )
    )

    own = seen.registry
    assert value(own, "rdg_ready") == value(own, "rdg_bus_up") == 1
    assert value(own, "rdg_store_up") == 0
    assert value(own, "rdg_queue_messages", queue=QUEUE) == 4
    assert value(own, "rdg_queue_limit", queue=QUEUE) == 9
    assert value(own, "rdg_queue_consumers", queue=QUEUE) == 2
    assert value(own, "rdg_queue_dead_letters", queue=QUEUE) == 3
    assert value(own, "rdg_consumer_active", queue=QUEUE) == 0
    assert value(own, "rdg_jobs_ended_total", state="failed") == 5
    assert value(own, "rdg_jobs_ended_total", state="completed") == 0


def test_what_is_not_known_is_not_shown_as_nothing() -> None:
    seen = Metrics("1")

    seen.surroundings.show(View(store=False, bus=False))

    assert value(seen.registry, "rdg_jobs_ended_total", state="failed") is None
    assert value(seen.registry, "rdg_queue_messages", queue=QUEUE) is None


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def oldest(seen: Surroundings) -> float:
    (family,) = (each for each in seen.collect() if each.name == "rdg_queue_oldest_seconds")
    return float(family.samples[0].value)


def waiting(count: int) -> View:
    return View(queues={QUEUE: QueueStatus(count, 1, 0)})


def test_the_oldest_message_is_younger_than_the_one_taken_last() -> None:
    clock = Clock()
    seen = Surroundings(clock)
    seen.taken(QUEUE, seconds_ago=20)
    clock.now += 10

    seen.show(waiting(3))

    assert oldest(seen) == 30


def test_the_oldest_message_is_younger_than_the_empty_queue() -> None:
    clock = Clock()
    seen = Surroundings(clock)
    seen.taken(QUEUE, seconds_ago=20)
    clock.now += 3600
    seen.show(waiting(0))
    assert oldest(seen) == 0
    clock.now += 15

    seen.show(waiting(1))
    assert oldest(seen) == 15
    clock.now += 5
    assert oldest(seen) == 20


def test_a_retried_message_does_not_make_the_queue_look_old() -> None:
    seen = Surroundings(Clock())
    seen.taken(QUEUE, seconds_ago=1)

    seen.taken(QUEUE, seconds_ago=600)
    seen.show(waiting(1))

    assert oldest(seen) == 1


async def test_a_blocked_loop_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LAG_EVERY_S", 0.01)
    measured = Metrics("1")

    def late() -> float:
        within = value(measured.registry, "rdg_loop_lag_seconds_bucket", le="0.1") or 0
        return (value(measured.registry, "rdg_loop_lag_seconds_count") or 0) - within

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        watching = group.create_task(measured.watch_loop())
        await until(lambda: bool(value(measured.registry, "rdg_loop_lag_seconds_count")))
        time.sleep(0.3)  # noqa: ASYNC251  what is measured
        await until(lambda: late() >= 1)
        watching.cancel()
