"""Deliveries that come twice or out of order, made by a second client of the broker.

Where the broker goes away meanwhile, that has the same effect sooner.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic

from bus.rabbit_topology import Names

LOST = (AMQPError, OSError, RuntimeError, TimeoutError)
AT_ONCE = 8
COPY = "chaos-copy"


async def double(url: str, names: Names, order: random.Random, seconds: float) -> None:
    """Deliver again, in another order, whatever work is published within so many seconds."""
    seen: list[DeliveredMessage] = []

    async def note(message: DeliveredMessage) -> None:
        if COPY not in (message.header.properties.headers or {}):
            seen.append(message)

    with suppress(*LOST):
        async with _channel(url) as channel:
            tap = str((await channel.queue_declare(exclusive=True)).queue)
            await channel.queue_bind(tap, names.work, "#")
            await channel.basic_consume(tap, note, no_ack=True)
            await asyncio.sleep(seconds)
            order.shuffle(seen)
            for message in seen:
                await channel.basic_publish(
                    message.body,
                    exchange=names.work,
                    routing_key=message.routing_key or "",
                    properties=_copied(message.header.properties),
                )


async def hold(url: str, queue: str, seconds: float) -> None:
    """Take the next few messages of a queue, and give them back behind all that came after them."""

    async def keep(_: DeliveredMessage) -> None:
        return None

    with suppress(*LOST):
        async with _channel(url) as channel:
            await channel.basic_qos(prefetch_count=AT_ONCE)
            await channel.basic_consume(queue, keep)
            await asyncio.sleep(seconds)


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


def _copied(properties: Basic.Properties) -> Basic.Properties:
    return Basic.Properties(
        content_type=properties.content_type,
        headers={**(properties.headers or {}), COPY: "1"},
        delivery_mode=properties.delivery_mode,
        message_id=properties.message_id,
        message_type=properties.message_type,
        correlation_id=properties.correlation_id,
    )
