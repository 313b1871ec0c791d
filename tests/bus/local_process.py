"""Another process on the local bus, for tests to kill: `python -m tests.bus.local_process serve|take PATH`."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.transport import Delivery
from tests.bus.inbox import ORDERS, TOPOLOGY

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def local_process(role: str, path: Path) -> AsyncIterator[Process]:
    """Run it and give it out once it said that it is ready; it is killed at the end."""
    command = (sys.executable, "-m", "tests.bus.local_process", role, str(path))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _serve(path: str) -> None:
    """Serve until killed."""
    async with serve(MemoryTransport(), Path(path)):
        _say_ready()
        await asyncio.Event().wait()


async def _take(path: str) -> None:
    """Take a message and never settle it."""

    async def hang(_: Delivery) -> None:
        _say_ready()
        await asyncio.Event().wait()

    async with LocalTransport.connect(path) as transport:
        await transport.declare(TOPOLOGY)
        async with transport.receive(ORDERS.name, hang, 1, 600):
            await asyncio.Event().wait()


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run({"serve": _serve, "take": _take}[sys.argv[1]](sys.argv[2]))
