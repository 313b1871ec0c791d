"""aiormq alone: what the driver gives without any framework. The ceiling for everything built on it.

Bodies of the same size as ours, the same bytes each time; persistent, publisher confirms in flight together,
acknowledged one by one.
"""

from itertools import repeat
from typing import cast

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from benchmarks.peers import IN_FLIGHT, Run
from benchmarks.peers.loop import Countdown, publish_each, run_on


def produce(run: Run) -> None:
    """Publish to the queue over one confirming channel."""
    run_on(run.peer.uvloop, _produce(run))


def consume(run: Run) -> None:
    """Consume by callback, with manual acknowledgement."""
    run_on(run.peer.uvloop, _consume(run))


async def _produce(run: Run) -> None:
    connection = await aiormq.connect(run.url)
    channel = cast(aiormq.Channel, await connection.channel(publisher_confirms=True))
    queue = await _declare(channel, run.peer.queue_type)
    body = run.payload.body()
    properties = Basic.Properties(delivery_mode=2)

    async def publish(body: bytes) -> None:
        await channel.basic_publish(
            body, routing_key=queue, properties=properties, wait=run.peer.waits
        )

    run.ready()
    await publish_each(publish, repeat(body, run.count))
    run.done()
    await connection.close()


async def _consume(run: Run) -> None:
    connection = await aiormq.connect(run.url)
    channel = cast(aiormq.Channel, await connection.channel())
    queue = await _declare(channel, run.peer.queue_type)
    await channel.basic_qos(prefetch_count=IN_FLIGHT)
    countdown = Countdown(run.count, run.done)

    async def take(message: DeliveredMessage) -> None:
        await channel.basic_ack(message.delivery_tag or 0, wait=run.peer.waits)
        countdown.one()

    await channel.basic_consume(queue, take)
    run.ready()
    await countdown.passed.wait()
    await connection.close()


async def _declare(channel: aiormq.Channel, queue_type: str) -> str:
    name = f"benchmark.raw.{queue_type}"
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": queue_type})
    return name
