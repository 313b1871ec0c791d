"""What a process counts and measures, as Prometheus reads it. Names and labels are a contract with deploy/.

Labels are bounded by the pipeline: stages, queues, outcomes and states, never a job or a message. Everything is in a
registry of its own, so that two systems may live in one process. What is true of the whole system (what is in the
queues, how jobs ended) every worker tells alike: take the maximum over workers, not the sum.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bus.stage import AnyStage, Outcome, Settlement
from bus.transport import QueueStatus
from schemas.documents import TERMINAL
from schemas.message import Message

HANDLER_S = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
AGE_S = (0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400)
LAG_S = (0.005, 0.02, 0.1, 0.5, 1, 5, 30)
LAG_EVERY_S = 0.5

# When each counter began would be as many lines again, that nothing here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class View:
    """What a process sees around itself at one moment.

    Attributes:
        ready: Whether this process works.
        bus: Whether the bus answers.
        store: Whether the store answers.
        queues: What is in every queue of the pipeline, as far as the bus tells.
        limits: How many messages each of them takes before it refuses more.
        consumers: For each queue that this process attends, whether the broker has its consumer.
        ended: How many jobs ended so far, by state; empty if the store does not answer.

    """

    ready: bool = False
    bus: bool = False
    store: bool = False
    queues: Mapping[str, QueueStatus] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    consumers: Mapping[str, bool] = field(default_factory=dict)
    ended: Mapping[str, float] = field(default_factory=dict)


class Metrics:
    """The numbers of one process."""

    def __init__(self, version: str) -> None:
        self.registry = own = CollectorRegistry()
        counter, gauge = partial(Counter, registry=own), partial(Gauge, registry=own)
        histogram = partial(Histogram, registry=own)
        by_stage, by_queue = ("stage",), ("stage", "queue")
        self._messages = counter(
            "rdg_messages", "Deliveries settled, by how.", (*by_queue, "outcome")
        )
        self._redeliveries = counter(
            "rdg_redeliveries", "Deliveries that somebody had had and not settled.", by_queue
        )
        self._received = counter("rdg_received_bytes", "Bodies taken, wherever kept.", by_stage)
        self._published = counter("rdg_published_bytes", "Bodies published.", by_stage)
        self._in_flight = gauge("rdg_messages_in_flight", "Messages in a handler.", by_stage)
        self._handler = histogram(
            "rdg_handler_seconds", "Time that a stage had a message.", by_stage, buckets=HANDLER_S
        )
        self._age = histogram(
            "rdg_message_age_seconds", "Age of a message when taken.", by_queue, buckets=AGE_S
        )
        self._lag = histogram(
            "rdg_loop_lag_seconds", "How late the event loop came round.", buckets=LAG_S
        )
        gauge("rdg_build_info", "Which version runs.", ("version",)).labels(version).set(1)
        ProcessCollector(registry=own)
        self.surroundings = Surroundings()
        own.register(self.surroundings)

    def counted(self, stage: AnyStage) -> AnyStage:
        """Return the stage with its messages in flight counted. All its counters begin at zero now."""
        in_flight = self._in_flight.labels(stage.name)
        for queue in stage.queues:
            self._redeliveries.labels(stage.name, queue.name)
            for outcome in get_args(Outcome):
                self._messages.labels(stage.name, queue.name, outcome)

        async def handle(message: Message) -> AsyncIterator[Message]:
            with in_flight.track_inprogress():
                async for output in stage.handle(message):
                    yield output

        return replace(stage, handle=handle)

    def settled(self, settlement: Settlement) -> None:
        """Count a settlement."""
        stage, queue = settlement.stage, settlement.queue
        self._messages.labels(stage, queue, settlement.outcome).inc()
        self._redeliveries.labels(stage, queue).inc(settlement.redelivered)
        self._received.labels(stage).inc(settlement.bytes_in)
        self._published.labels(stage).inc(settlement.bytes_out)
        self._handler.labels(stage).observe(settlement.seconds)
        self._age.labels(stage, queue).observe(settlement.waited_s)
        self.surroundings.taken(queue, settlement.waited_s + settlement.seconds)

    async def watch_loop(self) -> None:
        """Measure until cancelled how late the event loop is."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag.observe(max(0.0, clock() - due))


class Surroundings(Collector):
    """The latest view, as gauges, and how long the oldest message of each queue has waited at most.

    No broker tells that age. But queues are in order: what waits is younger than what was taken last, and than the
    moment when the queue was last seen empty. So the bound is as good as the queue is looked at often.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._view = View()
        self._oldest: dict[str, float] = {}  # by queue: it was published no earlier than this

    def show(self, view: View) -> None:
        """Replace the view."""
        self._view = view
        now = self._clock()
        for queue, status in view.queues.items():
            if status.waiting == 0:
                self._oldest[queue] = now
            self._oldest.setdefault(queue, now)

    def taken(self, queue: str, seconds_ago: float) -> None:
        """Note that a message which was published so long ago is no longer in the queue."""
        published = self._clock() - seconds_ago
        self._oldest[queue] = max(self._oldest.get(queue, published), published)

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus is told of the view."""
        view, now = self._view, self._clock()
        yield GaugeMetricFamily("rdg_ready", "Whether this process works.", view.ready)
        yield GaugeMetricFamily("rdg_bus_up", "Whether the bus answers.", view.bus)
        yield GaugeMetricFamily("rdg_store_up", "Whether the store answers.", view.store)
        yield _by_queue(
            "rdg_consumer_active", "Whether the broker has this consumer.", view.consumers
        )
        queues = view.queues.items()
        waiting = {name: each.waiting for name, each in queues}
        yield _by_queue("rdg_queue_messages", "Messages that wait.", waiting)
        yield _by_queue("rdg_queue_limit", "Messages that may wait; more are refused.", view.limits)
        dead = {name: each.dead for name, each in queues}
        yield _by_queue("rdg_queue_dead_letters", "Dead letters.", dead)
        receivers = {name: each.receivers for name, each in queues}
        yield _by_queue("rdg_queue_consumers", "Consumers, of all processes.", receivers)
        ages = {name: now - self._oldest[name] if each.waiting else 0 for name, each in queues}
        yield _by_queue("rdg_queue_oldest_seconds", "The oldest has waited at most.", ages)
        yield _ended(view.ended)


def _by_queue(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=["queue"])
    for queue, value in values.items():
        family.add_metric([queue], value)
    return family


def _ended(ended: Mapping[str, float]) -> Metric:
    """Return every state's count, from the first job that ended; a state that vanished would look like a restart."""
    family = CounterMetricFamily("rdg_jobs_ended", "Jobs that ended, ever.", labels=["state"])
    for state in sorted(TERMINAL) if ended else ():
        family.add_metric([state], ended.get(state, 0))
    return family
