"""A stage is a value; `attend` is the loop that settles its messages.

A handler has four outcomes and no fifth: it returns (its outputs are published and confirmed, then the message is
acknowledged), it raises Retry (or an error listed as transient) and gets the message again later, it raises
anything else and the message is buried, or it is cancelled and the broker delivers the message again, to anybody.
A body that cannot be read is buried at once.

A handler may run twice with the same message. Its outputs have the same ids each time, because they derive from the
input's id; what it writes to the store it writes by id.
"""

import logging
import time
import traceback
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from bus.bus import Bus, size_of
from bus.errors import BusUnavailable, Busy, Expired, Retry
from bus.transport import Delivery, Queue, Subscription, Topology
from schemas.message import UNSTAMPED, Message, derived_id

In = TypeVar("In", bound=Message)
Out = TypeVar("Out", bound=Message)

log = logging.getLogger("rdg.bus")

RECENT = 4096
LONGEST_RETRY_S = 60.0


@dataclass(frozen=True)
class Stage(Generic[In, Out]):
    """One step of the pipeline.

    Attributes:
        name: The stage's name; replicas of one name share its queues.
        consumes: Message types that it takes.
        produces: Message types that it makes.
        handle: Takes one message and yields outputs, whose ids are stamped for it.
        routes: For messages that are routed by a value: the values taken here, a queue for each.
        prefetch: Messages in flight per queue; None: what the process is set to. 1 for heavy work.

    """

    name: str
    consumes: tuple[type[In], ...]
    produces: tuple[type[Out], ...]
    handle: Callable[[In], AsyncIterator[Out]]
    routes: tuple[str, ...] = ()
    prefetch: int | None = None

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The stage's queues: one for each message type, or for each of its routes."""
        return tuple(
            Queue(f"{self.name}.{key}", key)
            for kind in self.consumes
            for key in (
                [f"{kind.topic}.{r}" for r in self.routes] if kind.routed_by else [kind.topic]
            )
        )


AnyStage = Stage[Any, Any]
Outcome = Literal["done", "buried"]


@dataclass(frozen=True)
class Settlement:
    """How one message went: for progress, cost and failure reports."""

    stage: str
    message: Message | None  # None: it could not be read
    run: str  # attempt at a job that its headers name; empty if on behalf of none
    outcome: Outcome
    seconds: float
    bytes_in: int
    bytes_out: int = 0
    reason: str = ""


async def _nothing(_: Settlement) -> None:
    return None


@dataclass(frozen=True)
class Terms:
    """On which terms a process works.

    Attributes:
        prefetch: Messages in flight per queue.
        grace_s: How long running handlers may go on after the stop.
        attempts: Deliveries before a message whose handler asks for another is buried.
        retry_s: Delay of the first retry; it doubles each time, up to a minute.
        transient: Errors that mean "again later" however often: a server is away, and no message is to blame.
        observe: Told of every message before it is settled, so that what it writes is never lost.

    """

    prefetch: int = 4
    grace_s: float = 30.0
    attempts: int = 5
    retry_s: float = 1.0
    transient: tuple[type[Exception], ...] = ()
    observe: Callable[[Settlement], Awaitable[None]] = _nothing


def topology(stages: Iterable[AnyStage]) -> Topology:
    """Return all that these stages need on the broker."""
    return Topology(tuple(queue for stage in stages for queue in stage.queues))


@asynccontextmanager
async def attend(
    bus: Bus, stages: Sequence[AnyStage], terms: Terms
) -> AsyncIterator[list[Subscription]]:
    """Work on the stages' messages while the context is open; see Transport.receive for how it ends."""
    async with AsyncExitStack() as stack:
        subscriptions = []
        for stage in stages:
            desk = _Desk(bus, stage, terms)
            for queue in stage.queues:
                prefetch = stage.prefetch or terms.prefetch
                receiving = bus.transport.receive(queue.name, desk.receive, prefetch, terms.grace_s)
                subscriptions.append(await stack.enter_async_context(receiving))
        yield subscriptions


@dataclass
class _Report:
    stage: str
    run: str
    bytes_in: int
    message: Message | None = None
    bytes_out: int = 0
    started: float = field(default_factory=time.monotonic)

    def settlement(self, outcome: Outcome, reason: str = "") -> Settlement:
        seconds = time.monotonic() - self.started
        return Settlement(
            self.stage,
            self.message,
            self.run,
            outcome,
            seconds,
            self.bytes_in,
            self.bytes_out,
            reason,
        )


@dataclass
class _Desk:
    """Settles one stage's messages, one delivery at a time, many at once."""

    bus: Bus
    stage: AnyStage
    terms: Terms
    recent: "OrderedDict[UUID, None]" = field(default_factory=OrderedDict)

    @property
    def passing(self) -> tuple[type[Exception], ...]:
        return (Retry, Busy, *self.terms.transient)

    async def receive(self, delivery: Delivery) -> None:
        try:
            await self._settle(delivery)
        except BusUnavailable:
            return  # not settled: the broker delivers it again

    async def _settle(self, delivery: Delivery) -> None:
        report = _Report(
            self.stage.name,
            delivery.envelope.headers.get("ce-subject", ""),
            size_of(delivery.envelope),
        )
        try:
            await self._work(delivery, report)
        except BusUnavailable:
            raise
        except Expired:
            await delivery.ack()
        except self.passing as error:
            await self._again(delivery, report, error)
        except Exception as error:  # noqa: BLE001  the one place: whatever a handler raises is a dead letter
            await self._bury(delivery, report, error)

    async def _work(self, delivery: Delivery, report: "_Report") -> None:
        message = await self.bus.open(delivery.envelope, *self.stage.consumes)
        report.message = message
        if message.id not in self.recent:
            outputs = [output async for output in self.stage.handle(message)]
            stamped = _stamp(outputs, message.id, self.stage.name)
            report.bytes_out = await self.bus.publish_all(stamped, delivery.envelope)
            await self.terms.observe(report.settlement("done"))
            self._remember(message.id)
        await delivery.ack()

    async def _again(self, delivery: Delivery, report: "_Report", error: Exception) -> None:
        if isinstance(error, Retry) and delivery.attempt >= self.terms.attempts:
            await self._bury(delivery, report, error)
            return
        delay_s = min(self.terms.retry_s * 2 ** (delivery.attempt - 1), LONGEST_RETRY_S)
        await delivery.retry(delay_s, _reason(error))

    async def _bury(self, delivery: Delivery, report: "_Report", error: Exception) -> None:
        try:
            await self.terms.observe(report.settlement("buried", _reason(error)))
        except self.passing as unavailable:
            await delivery.retry(LONGEST_RETRY_S, _reason(unavailable))
            return
        except BusUnavailable:
            raise
        except Exception:
            log.exception("the end of a message of %s could not be noted", self.stage.name)
        await delivery.bury(_reason(error), "".join(traceback.format_exception(error))[-8192:])

    def _remember(self, key: UUID) -> None:
        self.recent[key] = None
        if len(self.recent) > RECENT:
            self.recent.popitem(last=False)


def _stamp(outputs: Iterable[Message], parent: UUID, stage: str) -> list[Message]:
    """Give each output its derived id; those of one topic are counted by themselves.

    So a progress note more or less does not move the ids of the results.
    """
    counted: Counter[str] = Counter()
    stamped = []
    for output in outputs:
        if output.id == UNSTAMPED:
            index = counted[output.topic]
            counted[output.topic] += 1
            key = derived_id(parent, stage, output.topic, index)
            output = output.model_copy(update={"id": key})
        stamped.append(output)
    return stamped


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:1024]
