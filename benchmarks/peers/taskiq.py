"""Taskiq with its aio-pika broker: JSON (it has no form for bytes), quorum queue (its default)."""

import asyncio
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker

from benchmarks.peers import IN_FLIGHT, Run
from benchmarks.peers.loop import Countdown, publish_each, run_on


def produce(run: Run) -> None:
    """Send tasks, many in flight; each waits for its confirm."""
    run_on(run.peer.uvloop, _produce(run))


def consume(run: Run) -> None:
    """Run its receiver in this process, acknowledging once the task has ended (its default)."""
    run_on(run.peer.uvloop, _consume(run))


async def _produce(run: Run) -> None:
    broker = AioPikaBroker(run.url)

    @broker.task(task_name="take")
    async def take(message: dict[str, Any]) -> None: ...

    await broker.startup()
    run.ready()
    await publish_each(take.kiq, run.payload.bodies(run.peer.form, run.count))
    run.done()
    await broker.shutdown()


async def _consume(run: Run) -> None:
    broker = AioPikaBroker(run.url, qos=IN_FLIGHT)
    countdown = Countdown(run.count, run.done)

    @broker.task(task_name="take")
    async def take(message: dict[str, Any]) -> None:
        run.payload.read(message)
        countdown.one()

    async with asyncio.TaskGroup() as group:
        broker.is_worker_process = True
        await broker.startup()
        receiving = group.create_task(run_receiver_task(broker, max_async_tasks=IN_FLIGHT))
        run.ready()
        await countdown.passed.wait()
        receiving.cancel()
    await broker.shutdown()
