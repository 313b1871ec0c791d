"""A worker that one message kills: `python -m tests.bus.mortal_process URL NAMESPACE PREFETCH`."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.connect import connect
from bus.tasks import tasks
from bus.transport import Delivery
from tests.bus.inbox import ORDERS

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def supervised(
    count: int, url: str, namespace: str, prefetch: int
) -> AsyncIterator[list[int]]:
    """Run so many workers, and another for each that dies; give out the exit codes of the dead."""
    exit_codes: list[int] = []

    async def supervise() -> None:
        while True:
            async with _worker(url, namespace, str(prefetch)) as process:
                exit_codes.append(await process.wait())

    async with tasks() as group:
        for _ in range(count):
            group.create_task(supervise())
        yield exit_codes


@asynccontextmanager
async def _worker(*arguments: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "tests.bus.mortal_process", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _work(url: str, namespace: str, prefetch: str) -> None:
    """Acknowledge messages until killed."""
    async with (
        connect(url, namespace) as transport,
        transport.receive(ORDERS.name, _die_of_poison, int(prefetch), 5),
    ):
        await asyncio.Event().wait()


async def _die_of_poison(delivery: Delivery) -> None:
    if delivery.envelope.body == b"poison":
        os.kill(os.getpid(), signal.SIGKILL)
    await delivery.ack()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
