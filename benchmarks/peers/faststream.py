"""FastStream with its RabbitMQ broker: a subscriber with a pydantic model, or with the body as bytes."""

from itertools import repeat

import numpy as np
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from pydantic import BaseModel

from benchmarks.peers import IN_FLIGHT, Run
from benchmarks.peers.loop import Countdown, publish_each, run_on


class Ordered(BaseModel):
    """The order of a shard."""

    shard: int
    shards: int
    generator: str
    fitted: str
    target: str
    count: int
    seed: int
    options: dict[str, int | float | bool | str]


class Shard(BaseModel):
    """A shard as FastStream's pages write a message: a model of plain JSON types."""

    id: str
    job: str
    order: Ordered
    samples: list[list[list[float]]] | None = None
    certain: int = 1


def produce(run: Run) -> None:
    """Publish persistent messages, confirmed (its default), many in flight."""
    run_on(run.peer.uvloop, _produce(run))


def consume(run: Run) -> None:
    """Subscribe with its default acknowledgement: once the handler has returned."""
    run_on(run.peer.uvloop, _consume(run))


async def _produce(run: Run) -> None:
    queue = _queue(run)
    async with RabbitBroker(run.url, logger=None) as broker:
        await broker.declare_queue(queue)

        async def publish(message: Shard | bytes) -> None:
            await broker.publish(message, queue, persist=True)

        run.ready()
        if run.peer.form == "bytes":
            await publish_each(publish, repeat(run.payload.body(), run.count))
        else:
            shards = (Shard(**body) for body in run.payload.bodies("lists", run.count))
            await publish_each(publish, shards)
        run.done()


async def _consume(run: Run) -> None:
    channel = Channel(prefetch_count=IN_FLIGHT)
    broker = RabbitBroker(run.url, default_channel=channel, logger=None)
    countdown = Countdown(run.count, run.done)

    async def take_bytes(body: bytes) -> None:
        countdown.one()

    async def take_shard(shard: Shard) -> None:
        if shard.samples is not None:
            np.asarray(shard.samples, run.payload.dtype)
        countdown.one()

    broker.subscriber(_queue(run))(take_bytes if run.peer.form == "bytes" else take_shard)
    async with broker:
        await broker.start()
        run.ready()
        await countdown.passed.wait()


def _queue(run: Run) -> RabbitQueue:
    return RabbitQueue(f"benchmark.{run.peer.name}", durable=True)
