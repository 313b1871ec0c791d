"""The dead letters of a queue on RabbitMQ, taken one by one from its dead-letter queue.

AMQP cannot look without taking. So each letter is taken, and handed back at the end unless it was settled. As many
are looked at as there are at the start: what dies again meanwhile is not met a second time. Nor can it look at the
headers alone: bodies cross the wire, one at a time, and each is dropped before the next is asked for.
"""

import asyncio
from bisect import insort
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from bus.rabbit_envelope import letter_of
from bus.rabbit_link import ANSWER_S, LOST
from bus.transport import DeadLetter

LOOKED_AT = 1_000  # dead letters, of which the newest are told


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


async def newest_of(
    messages: AsyncIterator[DeliveredMessage], queue: str, limit: int, most: int
) -> list[DeadLetter]:
    """Return up to `limit` of the first `most` letters, the last that died first."""
    newest: list[DeadLetter] = []
    async for message in messages:
        insort(newest, DeadLetter.of(letter_of(message, queue)), key=_died)
        del newest[:-limit]
        most -= 1
        if most <= 0:
            break
    return newest[::-1]


async def settle(message: DeliveredMessage) -> None:
    """Take a letter out of its queue for good."""
    await message.channel.basic_ack(message.delivery_tag or 0, wait=False)


def _died(letter: DeadLetter) -> str:
    return letter.headers["rdg-died"]


async def _each(channel: Channel, name: str) -> AsyncGenerator[DeliveredMessage, None]:
    remaining: int | None = None
    while remaining != 0:
        async with asyncio.timeout(ANSWER_S):
            message = await channel.basic_get(name)
        if not isinstance(message.delivery, Basic.GetOk):
            return
        remaining = message.delivery.message_count if remaining is None else remaining - 1
        yield message
