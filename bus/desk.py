"""`attend` works on the messages of stages and settles each.

A handler has five outcomes and no sixth: it returns (its outputs are published and confirmed, then the message is
acknowledged), it raises Retry and gets the message again later as the next attempt, it meets what passes (a full queue,
a bus that does not confirm, an error listed as transient) and the message is postponed, it raises anything else and the
message is buried, or it is cancelled and the broker delivers the message again, to anybody. A body that cannot be
read is buried at once.

Attempts are what a message is buried for, so only those count that its handler asked for. What passes is waited for
however long it lasts, with a delay of its own that grows, and leaves the count as it was.

A handler that is not done by its deadline is cancelled, and counts as one that raised Retry. What it left running in a
thread goes on there: threads cannot be ended, only processes, and workers/hangs.py sees to that.

A handler may run twice with the same message. Its outputs have the same ids each time, because they derive from the
input's id; what it writes to the store it writes by id.
"""

import asyncio
import logging
import time
import traceback
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from bus.bus import Bus, size_of
from bus.errors import BusUnavailable, Busy, DeadlineExceeded, Expired, Retry
from bus.handover import hand_on
from bus.stage import AnyStage, Outcome, Settlement, Terms
from bus.tasks import tasks
from bus.tracing import failed, processing
from bus.transport import Delivery, Envelope, Subscription
from schemas.message import UNSTAMPED, Message, derived_id

log = logging.getLogger("rdg.bus")

RECENT = 4096
LONGEST_RETRY_S = 60.0
BUSY_S = 1.0  # least delay of what there was no room or no turn for
MOST_DOUBLINGS = 32  # what a message says of its attempts is no bound


@asynccontextmanager
async def attend(
    bus: Bus, stages: Sequence[AnyStage], terms: Terms
) -> AsyncIterator[list[Subscription]]:
    """Work on the stages' messages while the context is open; see Transport.receive for how it ends.

    At the end no queue is taken from any more, all at once; what was delivered is worked off within the grace time.
    """
    leaving = asyncio.Event()
    async with tasks() as group:
        subscriptions, attending = [], []
        for desk in (
            _Desk(bus, each, queue.name, terms, leaving) for each in stages for queue in each.queues
        ):
            taken = asyncio.get_running_loop().create_future()
            attending.append(group.create_task(desk.attend(taken), name=desk.queue))
            subscriptions.append(await taken)
        yield subscriptions
        leaving.set()
        await asyncio.wait(attending)


@dataclass
class _Report:
    """What a settlement will say, as it becomes known."""

    stage: str
    queue: str
    delivery: Delivery
    message: Message | None = None
    bytes_out: int = 0
    started: float = field(default_factory=time.monotonic)

    def settlement(self, outcome: Outcome, reason: str = "") -> Settlement:
        envelope, seconds = self.delivery.envelope, time.monotonic() - self.started
        return Settlement(
            stage=self.stage,
            queue=self.queue,
            message=self.message,
            run=envelope.headers.get("ce-subject", ""),
            outcome=outcome,
            seconds=seconds,
            bytes_in=size_of(envelope),
            bytes_out=self.bytes_out,
            reason=reason,
            attempt=self.delivery.attempt,
            redelivered=self.delivery.redelivered,
            waited_s=max(0.0, _age_s(envelope) - seconds),
        )


@dataclass
class _Desk:
    """Settles the messages of one queue, one delivery at a time, many at once."""

    bus: Bus
    stage: AnyStage
    queue: str
    terms: Terms
    leaving: asyncio.Event
    recent: "OrderedDict[UUID, None]" = field(default_factory=OrderedDict)

    @property
    def passing(self) -> tuple[type[Exception], ...]:
        return (Busy, BusUnavailable, *self.terms.transient)

    @property
    def deadline_s(self) -> float:
        return min(self.stage.deadline_s or self.terms.deadline_s, self.terms.deadline_s)

    async def attend(self, taken: asyncio.Future[Subscription]) -> None:
        """Take from the queue until `leaving`; `taken` is told once that has begun, or why it cannot."""
        prefetch = self.stage.prefetch or self.terms.prefetch
        receiving = self.bus.transport.receive(
            self.queue, self.receive, prefetch, self.terms.grace_s
        )
        try:
            async with receiving as subscription:
                taken.set_result(subscription)
                await self.leaving.wait()
        except Exception as error:
            if taken.done():
                raise
            taken.set_exception(error)

    async def receive(self, delivery: Delivery) -> None:
        system = self.bus.transport.system
        with processing(self.stage.name, self.queue, system, delivery.envelope, delivery.attempt):
            try:
                await self._settle(delivery)
            except (BusUnavailable, Busy):
                return  # not settled: the broker delivers it again

    async def _settle(self, delivery: Delivery) -> None:
        report = _Report(self.stage.name, self.queue, delivery)
        try:
            await self._work(delivery, report)
        except Expired as error:
            await self._note(report.settlement("expired", _reason(error)))
        except Retry as error:
            await self._retry(delivery, report, error)
            return
        except self.passing as error:
            await self._postpone(delivery, report, error)
            return
        except Exception as error:  # noqa: BLE001  the one place: whatever a handler raises is a dead letter
            await self._bury(delivery, report, error)
            return
        await delivery.ack()

    async def _work(self, delivery: Delivery, report: "_Report") -> None:
        deadline = asyncio.timeout(self.deadline_s)
        try:
            async with deadline:
                await self._handle(delivery, report)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise DeadlineExceeded(self.stage.name, self.deadline_s) from error

    async def _handle(self, delivery: Delivery, report: "_Report") -> None:
        message = await self.bus.open(delivery.envelope, *self.stage.consumes)
        report.message = message
        if message.id not in self.recent:
            outputs = [output async for output in self.stage.handle(message)]
            stamped = _stamp(outputs, message.id, self.stage.name)
            report.bytes_out = await self.bus.publish_all(stamped)
            await self.terms.observe(report.settlement("done"))
            self._remember(message.id)

    async def _retry(self, delivery: Delivery, report: "_Report", error: Retry) -> None:
        if delivery.attempt >= self.terms.attempts:
            await self._bury(delivery, report, error)
            return
        await self._tell(report, "retried", error)
        delay_s = self._delay_s(delivery.attempt)
        await hand_on(partial(delivery.retry, delay_s, _reason(error)), self.leaving)

    async def _postpone(self, delivery: Delivery, report: "_Report", error: Exception) -> None:
        """Put it off, for longer each time, unless there was no room or no turn.

        Whoever waits for those longest must not be the one who looks least often.
        """
        await self._tell(report, "postponed", error)
        delay_s = self._delay_s(delivery.postponed + 1)
        if isinstance(error, Busy):
            delay_s = min(max(self.terms.retry_s, BUSY_S), LONGEST_RETRY_S)
        await hand_on(partial(delivery.postpone, delay_s, _reason(error)), self.leaving)

    def _delay_s(self, times: int) -> float:
        doubled: int = 2 ** min(times - 1, MOST_DOUBLINGS)
        return min(self.terms.retry_s * doubled, LONGEST_RETRY_S)

    async def _tell(self, report: "_Report", outcome: Outcome, error: Exception) -> None:
        failed(outcome, _reason(error), error)
        await self._note(report.settlement(outcome, _reason(error)))

    async def _bury(self, delivery: Delivery, report: "_Report", error: Exception) -> None:
        failed("buried", _reason(error), error)
        try:
            await self.terms.observe(report.settlement("buried", _reason(error)))
        except self.passing as unavailable:
            put_off = partial(delivery.postpone, LONGEST_RETRY_S, _reason(unavailable))
            await hand_on(put_off, self.leaving)
            return
        except Exception:
            log.exception("the end of a message of %s could not be noted", self.stage.name)
        trace = "".join(traceback.format_exception(error))[-8192:]
        await hand_on(partial(delivery.bury, _reason(error), trace), self.leaving)

    async def _note(self, settlement: Settlement) -> None:
        """Tell the observer of what does not depend on its having noted it."""
        try:
            await self.terms.observe(settlement)
        except Exception:
            log.exception("the end of a message of %s could not be noted", self.stage.name)

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


def _age_s(envelope: Envelope) -> float:
    """Return the seconds since an envelope was made, by its `ce-time`; 0 if that says nothing."""
    try:
        made = datetime.fromisoformat(envelope.headers.get("ce-time", ""))
        return time.time() - made.timestamp()
    except (ValueError, OverflowError):
        return 0.0
