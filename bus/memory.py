"""The transport inside one process: for `rdg up`, the demo and tests. Nothing outlives the process.

A delivery that ends unsettled counts towards its queue's delivery limit, unless its subscription was left in good
order: a receiver that raises, or a client that dies (bus/local.py), counts; the end of a grace time does not.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from bus.errors import Busy, Unroutable
from bus.tasks import tasks
from bus.transport import (
    DeadLetter,
    Envelope,
    Queue,
    QueueStatus,
    Receiver,
    Since,
    Subscription,
    Topology,
    buried,
    revived,
)

log = logging.getLogger("rdg.bus")

LOG_LIMIT = 10_000
LOG_BYTES = 1 << 28
DEAD_LIMIT = 1_000


@dataclass
class _Log:
    """The newest entries; of one that is larger than LOG_BYTES, that one alone."""

    entries: deque[tuple[int, Envelope]] = field(default_factory=deque)
    bytes: int = 0
    next_offset: int = 0
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    def add(self, envelope: Envelope) -> None:
        self.entries.append((self.next_offset, envelope))
        self.bytes += len(envelope.body)
        self.next_offset += 1
        while len(self.entries) > LOG_LIMIT or (self.bytes > LOG_BYTES and len(self.entries) > 1):
            self.bytes -= len(self.entries.popleft()[1].body)

    def start(self, since: Since) -> int:
        if since == "first":
            return 0
        return self.next_offset - (1 if since == "newest" and self.entries else 0)

    def since(self, offset: int) -> list[tuple[int, Envelope]]:
        count = min(self.next_offset - offset, len(self.entries))
        return [self.entries[index] for index in range(-count, 0)]


class _Active:
    is_active = True


@dataclass
class _Queue:
    """A queue, its dead letters, and its receivers."""

    declared: Queue
    waiting: "asyncio.Queue[_Delivery]" = field(default_factory=asyncio.Queue)
    dead: list[Envelope] = field(default_factory=list)
    receivers: int = 0

    def check_room(self) -> None:
        """Raise Busy if it is full."""
        if self.waiting.qsize() >= self.declared.limit:
            raise Busy(f"{self.declared.name} is full ({self.declared.limit} messages)")

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Count a receiver while the context is open."""
        self.receivers += 1
        try:
            yield
        finally:
            self.receivers -= 1

    def put(self, delivery: "_Delivery") -> None:
        self.waiting.put_nowait(delivery)

    def hand_back(self, delivery: "_Delivery", *, is_loss: bool) -> None:
        """Deliver again what was not settled, or bury it if it lost its receiver once too often."""
        losses = delivery.losses + is_loss
        if losses > self.declared.delivery_limit:
            self.bury(delivery, f"delivery limit: its receivers were lost {losses} times")
        else:
            self.put(replace(delivery, losses=losses, redelivered=True))

    def bury(self, delivery: "_Delivery", reason: str, trace: str = "") -> None:
        name = self.declared.name
        self.dead.append(buried(delivery.envelope, name, delivery.attempt, reason, trace))
        if len(self.dead) > DEAD_LIMIT:
            log.error("bus: dropped a dead letter of %s: more than %d", name, DEAD_LIMIT)
            del self.dead[0]

    def revive(self, letter: Envelope) -> None:
        """Put a dead letter back, or raise Busy."""
        self.check_room()
        self.put(_Delivery(self, revived(letter)))
        self.dead.remove(letter)


class MemoryTransport:
    """Queues are deques, logs are bounded lists. One event loop only."""

    system = "rdg.memory"

    def __init__(self) -> None:
        self._bindings: defaultdict[str, set[str]] = defaultdict(set)
        self._queues: dict[str, _Queue] = {}
        self._logs: defaultdict[str, _Log] = defaultdict(_Log)

    async def declare(self, topology: Topology) -> None:
        """Create what is missing."""
        for queue in topology.queues:
            self._queues.setdefault(queue.name, _Queue(queue))
            self._bindings[queue.key].add(queue.name)

    async def send(self, envelope: Envelope) -> None:
        """Put the message into every queue bound to its key."""
        takers = [self._queues[name] for name in self._bindings.get(envelope.key, ())]
        if not takers:
            raise Unroutable(envelope.key)
        for queue in takers:
            queue.check_room()
        for queue in takers:
            queue.put(_Delivery(queue, envelope))

    async def append(self, envelope: Envelope) -> None:
        """Add a log entry and wake its readers."""
        log = self._logs[envelope.key]
        async with log.grown:
            log.add(envelope)
            log.grown.notify_all()

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        """Take from a queue; see Transport.receive."""
        source = self._queue(queue)
        running: set[asyncio.Task[None]] = set()
        slots = asyncio.Semaphore(prefetch)
        is_leaving = False

        def finished(delivery: _Delivery, task: asyncio.Task[None]) -> None:
            running.discard(task)
            slots.release()
            if not delivery.is_settled:
                source.hand_back(delivery, is_loss=not is_leaving)

        async def pump(group: asyncio.TaskGroup) -> None:
            while True:
                await slots.acquire()
                delivery = await source.waiting.get()
                task = group.create_task(delivery.given_to(receiver))
                running.add(task)
                task.add_done_callback(partial(finished, delivery))

        with source.attended():
            async with tasks() as group:
                pumping = group.create_task(pump(group), name=f"receive {queue}")
                yield _Active()
                is_leaving = True
                pumping.cancel()
                if running:
                    await asyncio.wait(running, timeout=grace_s)

    @asynccontextmanager
    async def follow(self, key: str, since: Since) -> AsyncIterator[AsyncIterator[Envelope]]:
        """Read a log; see Transport.follow."""
        log = self._logs[key]
        start = log.start(since)

        async def entries() -> AsyncIterator[Envelope]:
            offset = start
            while True:
                async with log.grown:
                    while log.next_offset <= offset:
                        await log.grown.wait()
                    fresh = log.since(offset)
                for position, envelope in fresh:
                    offset = position + 1
                    yield envelope

        yield entries()

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return self._queue(queue).waiting.qsize()

    async def status(self, queue: str) -> QueueStatus:
        """Return what is in a queue and who takes from it."""
        found = self._queue(queue)
        return QueueStatus(found.waiting.qsize(), found.receivers, len(found.dead))

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[DeadLetter]:
        """Return up to `limit` dead letters of a queue."""
        newest = _chosen(self._queue(queue).dead, ids)[::-1][:limit]
        return [DeadLetter.of(letter) for letter in newest]

    async def letter(self, queue: str, message_id: str) -> Envelope | None:
        """Return a dead letter with this message id whole."""
        return next(iter(_chosen(self._queue(queue).dead, [message_id])), None)

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Put dead letters back into their queue."""
        source = self._queue(queue)
        letters = _chosen(source.dead, ids)
        for letter in letters:
            source.revive(letter)
        return len(letters)

    async def purge(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete dead letters of a queue."""
        source = self._queue(queue)
        letters = _chosen(source.dead, ids)
        for letter in letters:
            source.dead.remove(letter)
        return len(letters)

    def _queue(self, name: str) -> _Queue:
        if name not in self._queues:
            raise Unroutable(name)
        return self._queues[name]


@dataclass
class _Delivery:
    queue: _Queue
    envelope: Envelope
    attempt: int = 1
    postponed: int = 0
    redelivered: bool = False
    losses: int = 0
    is_settled: bool = False

    async def given_to(self, receiver: Receiver) -> None:
        """Run the receiver; whatever it raises, the subscription goes on."""
        try:
            await receiver(self)
        except Exception:
            log.exception("bus: the receiver of %s failed", self.queue.declared.name)

    async def ack(self) -> None:
        self.is_settled = True

    async def retry(self, delay_s: float, reason: str) -> None:
        self._again(delay_s, _Delivery(self.queue, self.envelope, self.attempt + 1))

    async def postpone(self, delay_s: float, reason: str) -> None:
        again = _Delivery(self.queue, self.envelope, self.attempt, self.postponed + 1)
        self._again(delay_s, again)

    async def bury(self, reason: str, trace: str) -> None:
        self.queue.bury(self, reason, trace)
        self.is_settled = True

    def _again(self, delay_s: float, again: "_Delivery") -> None:
        asyncio.get_running_loop().call_later(delay_s, self.queue.put, again)
        self.is_settled = True


def _chosen(letters: list[Envelope], ids: Sequence[str] | None) -> list[Envelope]:
    return [letter for letter in letters if ids is None or letter.id in ids]
