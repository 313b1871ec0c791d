"""A consumer on RabbitMQ that is put back whenever it is lost.

It may be lost by a broken connection, a closed channel, a deleted queue or a broker that has just started and does not
have its queues yet. Each has a channel of its own: closing it cancels what still runs and hands back what was not
acknowledged.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq import Channel
from aiormq.abc import DeliveredMessage, FieldTable

from bus.errors import BusUnavailable
from bus.rabbit_link import ANSWER_S, LOST, Link, close, reason_of
from bus.tasks import tasks

log = logging.getLogger("rdg.bus")

LEAST_PAUSE_S, MOST_PAUSE_S = 0.05, 5.0
DOUBLINGS = 10  # more than it takes; a power of any number of failures would overflow some day


@dataclass
class Consumer:
    """Takes from a queue until cancelled.

    Attributes:
        link: The connection.
        queue: Name of the queue on the broker.
        prefetch: Unacknowledged messages at a time.
        take: Called for each message, as a task of its channel: it is cancelled when that is lost.
        declare: Makes the queue if it is not there.
        arguments: Of the subscription, asked for each time.
        is_leaving: Set once it is not to be put back any more.

    """

    link: Link
    queue: str
    prefetch: int
    take: Callable[[DeliveredMessage], Coroutine[None, None, None]]
    declare: Callable[[], Awaitable[None]]
    arguments: Callable[[], FieldTable] = dict
    is_leaving: bool = False
    _channel: Channel | None = None
    _tag: str = ""
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _trouble: str = "no answer"

    @property
    def is_active(self) -> bool:
        """Whether the broker has this consumer now."""
        channel = self._channel
        return channel is not None and not channel.is_closed and self._tag in channel.consumers

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume while the context is open; inside it the consumer exists.

        Raises:
            BusUnavailable: It could not be made in time.

        """
        async with tasks() as group:
            group.create_task(self._keep(), name=f"consume {self.queue}")
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._begun.wait()
            except TimeoutError:
                raise BusUnavailable(f"cannot consume {self.queue}: {self._trouble}") from None
            try:
                yield
            finally:
                self.is_leaving = True

    async def leave(self) -> None:
        """Take no more. What runs goes on, and may still be settled."""
        self.is_leaving = True
        if self._channel is not None and self.is_active:
            with suppress(*LOST):  # a lost channel delivers nothing either
                async with asyncio.timeout(ANSWER_S):
                    await self._channel.basic_cancel(self._tag)

    async def _keep(self) -> None:
        failures = 0
        while not self.is_leaving:
            try:
                await self._consume()
                failures = 0
            except (BusUnavailable, *LOST) as error:
                failures += 1
                self._trouble = reason_of(error)
                log.debug("bus: cannot consume %s: %s", self.queue, self._trouble)
            pause_s = min(LEAST_PAUSE_S * 2 ** min(failures, DOUBLINGS), MOST_PAUSE_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311  not a secret

    async def _consume(self) -> None:
        """Subscribe, and return once the subscription is gone."""
        channel = await self.link.channel()
        gone = asyncio.Event()
        channel.closing.add_done_callback(lambda _: gone.set())
        channel.on_consumer_cancel_callbacks.add(lambda _: gone.set())
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._subscribe(channel)
            if not self.is_leaving:  # a driver's error may have taken the place of our cancellation
                await gone.wait()
        finally:
            await close(channel)
        if not self.is_leaving:
            log.warning("bus: consumer of %s lost, taking it up again", self.queue)

    async def _subscribe(self, channel: Channel) -> None:
        await channel.basic_qos(prefetch_count=self.prefetch)
        try:
            answer = await channel.basic_consume(self.queue, self.take, arguments=self.arguments())
        except ChannelNotFoundEntity:
            await self.declare()
            raise
        self._channel, self._tag = channel, str(answer.consumer_tag)
        self._begun.set()
