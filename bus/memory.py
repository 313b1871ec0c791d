"""The transport inside one process: for `rdg up`, the demo and tests. Nothing outlives the process."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from bus.errors import Busy, Unroutable
from bus.tasks import tasks
from bus.transport import Envelope, Receiver, Since, Subscription, Topology, dead_headers

log = logging.getLogger("rdg.bus")

QUEUE_LIMIT = 100_000
LOG_LIMIT = 10_000
DEAD_LIMIT = 1_000


@dataclass
class _Log:
    entries: deque[tuple[int, Envelope]] = field(default_factory=lambda: deque(maxlen=LOG_LIMIT))
    next_offset: int = 0
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    def start(self, since: Since) -> int:
        if since == "first":
            return 0
        return self.next_offset - (1 if since == "newest" and self.entries else 0)

    def since(self, offset: int) -> list[tuple[int, Envelope]]:
        count = min(self.next_offset - offset, len(self.entries))
        return [self.entries[index] for index in range(-count, 0)]


class _Active:
    is_active = True


class MemoryTransport:
    """Queues are deques, logs are bounded lists. One event loop only."""

    def __init__(self, queue_limit: int = QUEUE_LIMIT) -> None:
        self._limit = queue_limit
        self._bindings: defaultdict[str, set[str]] = defaultdict(set)
        self._queues: dict[str, asyncio.Queue[_Delivery]] = {}
        self._dead: defaultdict[str, deque[Envelope]] = defaultdict(
            lambda: deque(maxlen=DEAD_LIMIT)
        )
        self._logs: defaultdict[str, _Log] = defaultdict(_Log)

    async def declare(self, topology: Topology) -> None:
        """Create what is missing."""
        for queue in topology.queues:
            self._queues.setdefault(queue.name, asyncio.Queue())
            self._bindings[queue.key].add(queue.name)

    async def send(self, envelope: Envelope) -> None:
        """Put the message into every queue bound to its key."""
        takers = self._bindings.get(envelope.key)
        if not takers:
            raise Unroutable(envelope.key)
        if any(self._queues[name].qsize() >= self._limit for name in takers):
            raise Busy(f"a queue for {envelope.key} is full ({self._limit} messages)")
        for name in takers:
            self._put(_Delivery(self, name, envelope))

    async def append(self, envelope: Envelope) -> None:
        """Add a log entry and wake its readers."""
        log = self._logs[envelope.key]
        async with log.grown:
            log.entries.append((log.next_offset, envelope))
            log.next_offset += 1
            log.grown.notify_all()

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        """Take from a queue; see Transport.receive."""
        waiting = self._queue(queue)
        running: set[asyncio.Task[None]] = set()
        slots = asyncio.Semaphore(prefetch)

        def finished(delivery: _Delivery, task: asyncio.Task[None]) -> None:
            running.discard(task)
            slots.release()
            if not delivery.is_settled:
                self._put(delivery)

        async def pump(group: asyncio.TaskGroup) -> None:
            while True:
                await slots.acquire()
                delivery = await waiting.get()
                task = group.create_task(delivery.given_to(receiver))
                running.add(task)
                task.add_done_callback(partial(finished, delivery))

        async with tasks() as group:
            pumping = group.create_task(pump(group), name=f"receive {queue}")
            yield _Active()
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
        return self._queue(queue).qsize()

    async def dead(self, queue: str, limit: int) -> list[Envelope]:
        """Return up to `limit` dead letters of a queue."""
        self._queue(queue)
        return list(self._dead[queue])[:limit]

    def _queue(self, name: str) -> "asyncio.Queue[_Delivery]":
        if name not in self._queues:
            raise Unroutable(name)
        return self._queues[name]

    def _put(self, delivery: "_Delivery") -> None:
        self._queues[delivery.queue].put_nowait(delivery)

    def _put_later(self, delivery: "_Delivery", delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._put, delivery)

    def _bury(self, queue: str, envelope: Envelope) -> None:
        self._dead[queue].append(envelope)


@dataclass
class _Delivery:
    transport: MemoryTransport
    queue: str
    envelope: Envelope
    attempt: int = 1
    is_settled: bool = False

    async def given_to(self, receiver: Receiver) -> None:
        """Run the receiver; whatever it raises, the subscription goes on."""
        try:
            await receiver(self)
        except Exception:
            log.exception("bus: the receiver of %s failed", self.queue)

    async def ack(self) -> None:
        self.is_settled = True

    async def retry(self, delay_s: float, reason: str) -> None:
        again = _Delivery(self.transport, self.queue, self.envelope, self.attempt + 1)
        self.transport._put_later(again, delay_s)
        self.is_settled = True

    async def bury(self, reason: str, trace: str) -> None:
        self.transport._bury(
            self.queue, _with(self.envelope, dead_headers(self.queue, self.attempt, reason, trace))
        )
        self.is_settled = True


def _with(envelope: Envelope, headers: Mapping[str, str]) -> Envelope:
    return replace(envelope, headers={**envelope.headers, **headers})
