"""What a test's receiver was given, and waiting for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from bus.errors import BusUnavailable, Busy
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.transport import (
    DeadLetter,
    Delivery,
    Envelope,
    Queue,
    QueueStatus,
    Receiver,
    Subscription,
    Topology,
    Transport,
)

PATIENCE_S = 60.0

T = TypeVar("T")

ORDERS = Queue("packing.orders", "orders")
TOPOLOGY = Topology((ORDERS,))


def envelope(body: bytes = b"x", key: str = "orders", name: str = "1") -> Envelope:
    return Envelope(key, name, body, {"ce-id": name, "ce-type": "io.rdg.orders", "ce-subject": "j"})


class Inbox:
    """A receiver that notes each delivery, then acknowledges it or does what it was told instead."""

    def __init__(self, settle: Callable[[Delivery], Awaitable[object]] | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self._settle = settle

    async def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self._settle is None:
            await delivery.ack()
        else:
            await self._settle(delivery)

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.envelope.body for delivery in self.deliveries]

    async def holds(self, count: int) -> None:
        await until(lambda: len(self.deliveries) >= count)


async def eventually(ask: Callable[[], Awaitable[T]], suits: Callable[[T], bool]) -> T:
    """Ask until the answer suits, for what no event tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not suits(answer := await ask()):  # noqa: ASYNC110  there is no event
            await asyncio.sleep(0.01)
    return answer


async def until(condition: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return condition()

    await eventually(ask, bool)


async def fill(transport: Transport) -> int:
    """Send 0, 1, 2… until the queue is full; return how many it took."""
    for number in range(100):
        try:
            await transport.send(envelope(b"%d" % number))
        except Busy:
            return number
    raise AssertionError("the queue has no limit")


async def until_depth(transport: Transport, queue: str, depth: int) -> None:
    await eventually(lambda: transport.depth(queue), lambda answer: answer == depth)


async def until_status(transport: Transport, status: QueueStatus) -> None:
    await eventually(lambda: transport.status(ORDERS.name), lambda answer: answer == status)


async def until_dead(transport: Transport, queue: str, count: int) -> list[DeadLetter]:
    return await eventually(lambda: transport.dead(queue, 100), lambda found: len(found) >= count)


@asynccontextmanager
async def receiving(
    transport: Transport, inbox: Inbox, prefetch: int = 10, grace_s: float = 5.0
) -> AsyncIterator[None]:
    async with transport.receive(ORDERS.name, inbox, prefetch, grace_s):
        yield


@asynccontextmanager
async def served(path: Path, topology: Topology = TOPOLOGY) -> AsyncIterator[LocalTransport]:
    """A client of a new server, with the topology declared."""
    async with (
        serve(MemoryTransport(), path),
        LocalTransport.connect(str(path)) as transport,
    ):
        await transport.declare(topology)
        yield transport


async def taken(entries: AsyncIterator[Envelope], count: int) -> list[bytes]:
    """The bodies of the next entries of a log."""
    async with asyncio.timeout(PATIENCE_S):
        return [(await anext(entries)).body for _ in range(count)]


class Watched(MemoryTransport):
    """Notes how the messages of one queue are settled, and loses some of what settles them."""

    def __init__(self, queue: str) -> None:
        super().__init__()
        self.queue = queue
        self.events: list[str] = []
        self.acks_to_lose = 0
        self.to_refuse: list[Exception] = []  # of what hands the message on

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        async def watch(delivery: Delivery) -> None:
            await receiver(WatchedDelivery(self, delivery) if queue == self.queue else delivery)

        async with super().receive(queue, watch, prefetch, grace_s) as subscription:
            yield subscription


class WatchedDelivery:
    def __init__(self, transport: Watched, delivery: Delivery) -> None:
        self._transport = transport
        self._delivery = delivery
        self.envelope = delivery.envelope
        self.attempt = delivery.attempt
        self.postponed = delivery.postponed
        self.redelivered = delivery.redelivered

    async def ack(self) -> None:
        self._transport.events.append("ack")
        if self._transport.acks_to_lose > 0:
            self._transport.acks_to_lose -= 1
            raise BusUnavailable("the connection was lost")
        await self._delivery.ack()

    async def retry(self, delay_s: float, reason: str) -> None:
        self._transport.events.append("retry")
        self._refuse()
        await self._delivery.retry(delay_s, reason)

    async def postpone(self, delay_s: float, reason: str) -> None:
        self._transport.events.append("postpone")
        self._refuse()
        await self._delivery.postpone(delay_s, reason)

    async def bury(self, reason: str, trace: str) -> None:
        self._transport.events.append("bury")
        self._refuse()
        await self._delivery.bury(reason, trace)

    def _refuse(self) -> None:
        if self._transport.to_refuse:
            raise self._transport.to_refuse.pop(0)
