"""The bus over RabbitMQ 3.10 or later: quorum queues for work, streams for logs. See bus/rabbit_topology.py.

What is declared is remembered and declared again when the broker turns out not to have it. A message that waits for
its retry is out of its queue, in one of that queue's ladder of delays. A delivery that was neither settled nor
cancelled is handed back after a second; the broker counts those, and buries a message that keeps losing its receivers.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from aiormq import Channel
from aiormq.abc import DeliveredMessage

from bus.errors import BusError, DeliveryLost, Misconfigured, Unroutable
from bus.inflight import InFlight
from bus.isolation import isolated
from bus.rabbit_consumer import Consumer
from bus.rabbit_envelope import (
    ATTEMPT,
    KEY,
    POSTPONED,
    attempt_of,
    envelope_of,
    letter_of,
    postponed_of,
    properties_of,
)
from bus.rabbit_letters import LOOKED_AT, newest_of, reading, settle
from bus.rabbit_link import LOST, Link, Starting, connected, reason_of
from bus.rabbit_log import Reading
from bus.rabbit_topology import (
    Names,
    declare_log,
    declare_waiting,
    declare_work,
    step_for,
)
from bus.transport import (
    DeadLetter,
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
LEAVE_S = 5.0  # of the grace time, for what the broker has to answer
STARTING_PAUSES_S = (
    0.5,
    1.0,
    2.0,
)  # few and long: each try on a stream that is not there costs the connection


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
            url: `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS; of a cluster `host:port,host:port`.
            namespace: Beginning of every name on the broker: 1 to 16 of a-z and 0-9.
            tls: Whom to trust and what to show, over `amqps://`. Read once: a new certificate needs a new start.

        Raises:
            BusUnavailable: No broker there, or it refuses; one line that says which, without the password.

        """
        if not re.fullmatch(r"[a-z0-9]{1,16}", namespace):
            raise Misconfigured(f"RDG_NAMESPACE {namespace!r} is not 1 to 16 of a-z and 0-9")
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
        for pause_s in STARTING_PAUSES_S:
            try:
                await self._publish_to(name, declare, envelope)
            except Starting:
                await asyncio.sleep(pause_s)
            else:
                return
        await self._publish_to(name, declare, envelope)

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        """Take from a queue; see Transport.receive."""
        in_flight, leaving = InFlight(prefetch), asyncio.Event()
        in_turn = isolated(receiver, leaving)

        async def take(message: DeliveredMessage) -> None:
            with in_flight:
                await _Delivery(self, queue, message, in_flight.may_settle).given_to(in_turn)

        consumer = Consumer(
            self._link, self._names.queue(queue), prefetch, take, self._declare_again
        )
        async with consumer.running():
            yield consumer
            leaving.set()
            end = asyncio.get_running_loop().time() + grace_s
            await self._leave(queue, consumer, in_flight)
            await in_flight.drained(max(0.0, end - asyncio.get_running_loop().time()))

    @asynccontextmanager
    async def follow(self, key: str, since: Since) -> AsyncIterator[AsyncIterator[Envelope]]:
        """Read a log; see Transport.follow."""
        reading = Reading(key, since)
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
    ) -> list[DeadLetter]:
        """Return up to `limit` dead letters, which the broker does not count while this reads them."""
        most = limit if ids is not None else max(limit, LOOKED_AT)
        async with self._letters(queue, ids) as messages:
            return await newest_of(messages, queue, limit, most)

    async def letter(self, queue: str, message_id: str) -> Envelope | None:
        """Return a dead letter with this message id whole; see Transport.letter."""
        async with self._letters(queue, [message_id]) as messages:
            async for message in messages:
                return letter_of(message, queue)
        return None

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
        if ids is None:
            async with self._link.brief_channel(queue) as channel:
                answer = await channel.queue_purge(self._names.dead_letters(queue))
            return answer.message_count or 0
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

    async def _leave(self, queue: str, consumer: Consumer, in_flight: InFlight) -> None:
        """Stop taking, or give up after a moment: a broker in trouble may never answer."""
        consumer.is_leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S), in_flight.held(await self._supply_s(queue)):
                await consumer.leave()

    async def _supply_s(self, queue: str) -> float:
        """Return how long what the last acknowledgements let loose may be on its way.

        What a queue has assigned to a consumer and the broker has not yet sent when that is cancelled never
        arrives, and counts as delivered: so cancel when the broker can assign no more.
        """
        with suppress(BusError):  # then nothing is on its way
            return SUPPLY_S if await self.depth(queue) else 0.0
        return 0.0

    async def _send_later(self, queue: str, delay_s: float, envelope: Envelope) -> None:
        step_s = step_for(delay_s)
        declare = partial(declare_waiting, names=self._names, queue=queue, step_s=step_s)
        await self._publish_to(self._names.waiting(queue, step_s), declare, envelope)

    async def _bury(self, queue: str, envelope: Envelope) -> None:
        await self._publish(self._names.dead, self._names.queue(queue), envelope)

    async def _publish_to(self, name: str, declare: Declare, envelope: Envelope) -> None:
        """Publish to a queue that is declared when it is first used, or found missing."""
        if name not in self._used:
            await self._declare_used(name, declare)
        try:
            await self._publish("", name, envelope)
        except Unroutable:
            await self._declare_used(name, declare)
            await self._publish("", name, envelope)

    async def _publish(self, exchange: str, key: str, envelope: Envelope) -> None:
        await self._link.publish(exchange, key, envelope.body, properties_of(envelope))

    async def _declare_used(self, name: str, declare: Declare) -> None:
        async with self._link.brief_channel() as channel:
            await declare(channel)
        self._used[name] = declare

    async def _declare_again(self) -> None:
        """Declare all that this process declared so far.

        Also before anything is published over a new connection: right after its start a broker
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
        self.postponed = postponed_of(message)
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
            raise DeliveryLost(f"not acknowledged: {reason_of(error)}") from error
        self._is_settled = True

    async def retry(self, delay_s: float, reason: str) -> None:
        await self._again(delay_s, reason, self.attempt + 1, 0)

    async def postpone(self, delay_s: float, reason: str) -> None:
        await self._again(delay_s, reason, self.attempt, self.postponed + 1)

    async def _again(self, delay_s: float, reason: str, attempt: int, postponed: int) -> None:
        counts = {ATTEMPT: str(attempt), POSTPONED: str(postponed)}
        headers = {KEY: self.envelope.key, **counts, "rdg-retried": reason}
        await self._transport._send_later(self._queue, delay_s, _with(self.envelope, headers))
        await self.ack()

    async def bury(self, reason: str, trace: str) -> None:
        letter = buried(self.envelope, self._queue, self.attempt, reason, trace)
        await self._transport._bury(self._queue, _with(letter, {KEY: letter.key}))
        await self.ack()

    @property
    def _tag(self) -> int:
        return self._message.delivery_tag or 0


def _with(envelope: Envelope, headers: Mapping[str, str]) -> Envelope:
    return replace(envelope, headers={**envelope.headers, **headers})
