"""The dead letters of a queue on RabbitMQ, taken one by one from its dead-letter queue.

AMQP cannot look without taking. So each letter is taken, and handed back at the end unless it was settled. As many
are looked at as there are at the start: what dies again meanwhile is not met a second time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from bus.rabbit_link import ANSWER_S, LOST


@asynccontextmanager
async def reading(
    channel: Channel, name: str, ids: Sequence[str] | None
) -> AsyncIterator[AsyncIterator[DeliveredMessage]]:
    """Read the messages of a dead-letter queue, those with these ids or all."""
    wanted = None if ids is None else frozenset(ids)
    try:
        async with aclosing(_each(channel, name)) as messages:
            yield (
                message
                async for message in messages
                if wanted is None or message.header.properties.message_id in wanted
            )
    finally:
        with suppress(*LOST):  # then the broker has taken them back by itself
            await channel.basic_nack(0, multiple=True, requeue=True, wait=False)  # 0: every one


async def settle(message: DeliveredMessage) -> None:
    """Take a letter out of its queue for good."""
    await message.channel.basic_ack(message.delivery_tag or 0, wait=False)


async def _each(channel: Channel, name: str) -> AsyncGenerator[DeliveredMessage, None]:
    remaining: int | None = None
    while remaining != 0:
        async with asyncio.timeout(ANSWER_S):
            message = await channel.basic_get(name)
        if not isinstance(message.delivery, Basic.GetOk):
            return
        remaining = message.delivery.message_count if remaining is None else remaining - 1
        yield message
