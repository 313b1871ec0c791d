"""The bus over RabbitMQ 3.10 or later: quorum queues for work, streams for logs. See bus/rabbit_topology.py.

What is declared is remembered and declared again when the broker turns out not to have it. A message that waits for
its retry is out of its queue, in a ladder of delays. A delivery that was neither settled nor cancelled is handed back
after a second; the broker counts those, and buries a message that keeps losing its receivers.
"""

import asyncio
import logging
import re
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from aiormq import Channel
from aiormq.abc import DeliveredMessage, FieldTable

from bus.errors import BusError, BusUnavailable, Unroutable
from bus.inflight import InFlight
from bus.isolation import Isolation
from bus.rabbit_consumer import Consumer
from bus.rabbit_envelope import (
    ATTEMPT,
    KEY,
    attempt_of,
    envelope_of,
    headers_of,
    letter_of,
    properties_of,
)
from bus.rabbit_letters import reading, settle
from bus.rabbit_link import LOST, Link, connected, reason_of
from bus.rabbit_topology import (
    Names,
    declare_log,
    declare_waiting,
    declare_work,
    step_for,
)
from bus.transport import (
    Envelope,
    QueueStatus,
    Receiver,
    Since,
    Subscription,
    Topology,
    buried,
    revived,
)
from schemas.tls import SYSTEM, Tls

log = logging.getLogger("rdg.bus")

LOG_PREFETCH = 16
HAND_BACK_S = 1.0
SUPPLY_S = 1.0
LOOKED_AT = 1_000  # dead letters, of which the newest are told
_OFFSETS = {"first": "first", "newest": "last", "next": "next"}


Declare = Callable[[Channel], Awaitable[None]]


class RabbitTransport:
    """One connection and one namespace."""

    system = "rabbitmq"

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._topology = Topology(())
        self._used: dict[str, Declare] = {}
        link.prepare = self._declare_again

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, namespace: str = "rdg", tls: Tls = SYSTEM
    ) -> AsyncIterator["RabbitTransport"]:
        """Connect, and close at the end. Later losses of the connection heal by themselves.

        Args:
            url: `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS.
            namespace: Beginning of every name on the broker: 1 to 16 of a-z and 0-9.
            tls: Whom to trust and what to show, over `amqps://`. Read once: a new certificate needs a new start.

        Raises:
            BusUnavailable: No broker there, or it refuses; one line that says which, without the password.

        """
        if not re.fullmatch(r"[a-z0-9]{1,16}", namespace):
            raise BusUnavailable(f"RDG_NAMESPACE {namespace!r} is not 1 to 16 of a-z and 0-9")
        async with connected(url, tls) as link:
            yield cls(link, Names(namespace))

    async def declare(self, topology: Topology) -> None:
        """Create what is missing, and remember it."""
        self._topology += topology
        await self._declare_again()

    async def send(self, envelope: Envelope) -> None:
        """Publish work; see Transport.send."""
        await self._publish(self._names.work, envelope.key, envelope)

    async def append(self, envelope: Envelope) -> None:
        """Add an entry to the stream of its key; see Transport.append."""
        name = self._names.log(envelope.key)
        declare = partial(declare_log, names=self._names, key=envelope.key)
        await self._publish_to(name, declare, "", name, envelope)

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        """Take from a queue; see Transport.receive."""
        in_flight, isolation = InFlight(prefetch), Isolation()

        async def take(message: DeliveredMessage) -> None:
            delivery = _Delivery(self, queue, message, in_flight.may_settle)
            with in_flight:
                async with isolation.turn(delivery.redelivered):
                    await delivery.given_to(receiver)

        consumer = Consumer(
            self._link, self._names.queue(queue), prefetch, take, self._declare_again
        )
        async with consumer.running():
            yield consumer
            async with in_flight.held(await self._supply_s(queue)):
                await consumer.leave()
            await in_flight.drained(grace_s)

    @asynccontextmanager
    async def follow(self, key: str, since: Since) -> AsyncIterator[AsyncIterator[Envelope]]:
        """Read a log; see Transport.follow."""
        reading = _Reading(key, since)
        name = self._names.log(key)
        declare = partial(declare_log, names=self._names, key=key)
        consumer = Consumer(
            self._link,
            name,
            LOG_PREFETCH,
            reading.take,
            partial(self._declare_used, name, declare),
            reading.arguments,
        )
        async with consumer.running():
            reading.has_begun = True
            yield reading.entries()

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue; see Transport.depth."""
        async with self._link.brief_channel(queue) as channel:
            answer = await channel.queue_declare(self._names.queue(queue), passive=True)
        return answer.message_count or 0

    async def status(self, queue: str) -> QueueStatus:
        """Return what is in a queue and who takes from it; see Transport.status."""
        async with self._link.brief_channel(queue) as channel:
            work = await channel.queue_declare(self._names.queue(queue), passive=True)
            dead = await channel.queue_declare(self._names.dead_letters(queue), passive=True)
        return QueueStatus(
            work.message_count or 0, work.consumer_count or 0, dead.message_count or 0
        )

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[Envelope]:
        """Return up to `limit` dead letters, which the broker does not count while this reads them."""
        newest: list[Envelope] = []
        remaining = limit if ids is not None else max(limit, LOOKED_AT)
        async with self._letters(queue, ids) as messages:
            async for message in messages:
                insort(newest, letter_of(message, queue), key=_died_at)
                del newest[:-limit]
                remaining -= 1
                if remaining <= 0:
                    break
        return newest[::-1]

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Put dead letters back into their queue; see Transport.replay."""
        count = 0
        async with self._letters(queue, ids) as messages:
            async for message in messages:
                letter = letter_of(message, queue)
                again = _with(revived(letter), {KEY: letter.key})
                await self._publish("", self._names.queue(queue), again)
                await settle(message)
                count += 1
        return count

    async def purge(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete dead letters of a queue; see Transport.purge."""
        count = 0
        async with self._letters(queue, ids) as messages:
            async for message in messages:
                await settle(message)
                count += 1
        return count

    @asynccontextmanager
    async def _letters(
        self, queue: str, ids: Sequence[str] | None
    ) -> AsyncIterator[AsyncIterator[DeliveredMessage]]:
        name = self._names.dead_letters(queue)
        async with (
            self._link.lasting_channel(queue) as channel,
            reading(channel, name, ids) as messages,
        ):
            yield messages

    async def _supply_s(self, queue: str) -> float:
        """Return how long what the last acknowledgements let loose may be on its way.

        What a queue has assigned to a consumer and the broker has not yet sent when that is cancelled never
        arrives, and counts as delivered: so cancel when the broker can assign no more.
        """
        with suppress(BusError):  # then nothing is on its way
            return SUPPLY_S if await self.depth(queue) else 0.0
        return 0.0

    async def _send_later(self, queue: str, step_s: int, envelope: Envelope) -> None:
        name = self._names.waiting(step_s)
        declare = partial(declare_waiting, names=self._names, step_s=step_s)
        await self._publish_to(name, declare, self._names.later, self._names.queue(queue), envelope)

    async def _bury(self, queue: str, envelope: Envelope) -> None:
        await self._publish(self._names.dead, self._names.queue(queue), envelope)

    async def _publish_to(
        self, name: str, declare: Declare, exchange: str, key: str, envelope: Envelope
    ) -> None:
        """Publish to a queue that is declared when it is first used, or found missing."""
        if name not in self._used:
            await self._declare_used(name, declare)
        try:
            await self._publish(exchange, key, envelope)
        except Unroutable:
            await self._declare_used(name, declare)
            await self._publish(exchange, key, envelope)

    async def _publish(self, exchange: str, key: str, envelope: Envelope) -> None:
        await self._link.publish(exchange, key, envelope.body, properties_of(envelope))

    async def _declare_used(self, name: str, declare: Declare) -> None:
        async with self._link.brief_channel() as channel:
            await declare(channel)
        self._used[name] = declare

    async def _declare_again(self) -> None:
        """Declare all that this process declared so far.

        Also before anything is published over a new channel: right after its start a broker
        confirms stream entries that it does not keep; once it has answered a declaration, it keeps them.
        """
        async with self._link.brief_channel() as channel:
            if self._topology.queues:
                await declare_work(channel, self._names, self._topology.queues)
            for declare in tuple(self._used.values()):
                await declare(channel)


class _Delivery:
    def __init__(
        self,
        transport: RabbitTransport,
        queue: str,
        message: DeliveredMessage,
        may_settle: asyncio.Event,
    ) -> None:
        self._transport = transport
        self._queue = queue
        self._message = message
        self._may_settle = may_settle
        self._is_settled = False
        self.envelope = envelope_of(message)
        self.attempt = attempt_of(message)
        self.redelivered = bool(message.redelivered)

    async def given_to(self, receiver: Receiver) -> None:
        """Run the receiver, and hand the message back if it was not settled."""
        try:
            await receiver(self)
        except Exception:
            log.exception("bus: the receiver of %s failed", self._queue)
        if not self._is_settled:
            await asyncio.sleep(HAND_BACK_S)
            with suppress(*LOST):  # then the broker has taken it back by itself
                await self._message.channel.basic_nack(self._tag, requeue=True, wait=False)

    async def ack(self) -> None:
        await self._may_settle.wait()
        try:
            await self._message.channel.basic_ack(self._tag, wait=False)
        except LOST as error:
            raise BusUnavailable(f"not acknowledged: {reason_of(error)}") from error
        self._is_settled = True

    async def retry(self, delay_s: float, reason: str) -> None:
        step_s = step_for(delay_s)
        headers = {
            KEY: self.envelope.key,
            ATTEMPT: str(self.attempt + 1),
            "rdg-delay": str(step_s),
            "rdg-retried": reason,
        }
        await self._transport._send_later(self._queue, step_s, _with(self.envelope, headers))
        await self.ack()

    async def bury(self, reason: str, trace: str) -> None:
        letter = buried(self.envelope, self._queue, self.attempt, reason, trace)
        await self._transport._bury(self._queue, _with(letter, {KEY: letter.key}))
        await self.ack()

    @property
    def _tag(self) -> int:
        return self._message.delivery_tag or 0


@dataclass
class _Reading:
    """One reader's place in a log."""

    key: str
    since: Since
    has_begun: bool = False

    def __post_init__(self) -> None:
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self._next_offset: int | None = None
        self._since = datetime.now(UTC)

    async def take(self, message: DeliveredMessage) -> None:
        self._arrived.put_nowait(message)

    def arguments(self) -> FieldTable:
        """Return where to start: after the last entry seen, or as asked for.

        A reader of what comes next that saw nothing before it lost the connection has no offset: it
        goes by the time it began, which the broker knows to the second.
        """
        if self._next_offset is not None:
            return {"x-stream-offset": self._next_offset}
        if self.has_begun and self.since == "next":
            return {"x-stream-offset": self._since}
        return {"x-stream-offset": _OFFSETS[self.since]}

    async def entries(self) -> AsyncIterator[Envelope]:
        while True:
            message = await self._arrived.get()
            offset = int(str(headers_of(message)["x-stream-offset"]))
            if offset >= (self._next_offset or 0):  # else seen before the connection was lost
                self._next_offset = offset + 1
                yield envelope_of(message, self.key)
            with suppress(*LOST):
                await message.channel.basic_ack(message.delivery_tag or 0, wait=False)


def _died_at(letter: Envelope) -> str:
    return letter.headers["rdg-died"]


def _with(envelope: Envelope, headers: Mapping[str, str]) -> Envelope:
    return replace(envelope, headers={**envelope.headers, **headers})
