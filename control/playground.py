"""A system to play with: `rdg up` in a process of its own, and other `rdg` commands beside it."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.bus import Bus
from bus.connect import connect
from bus.errors import BusUnavailable
from bus.seal import read_seal
from schemas.settings import Settings
from store.base import Store
from store.connect import open_store

START_S = 60
STOP_S = 40  # longer than the grace time of `rdg up`


@dataclass(frozen=True)
class Playground:
    """A bus and a store that somebody works on."""

    bus: Bus
    store: Store
    settings: Settings

    @asynccontextmanager
    async def running(self, *command: str) -> AsyncIterator[None]:
        """Run an `rdg` command while the context is open, its output going to a log file in `home`."""
        async with _running(self.settings, *command):
            yield

    async def answer(self, *command: str) -> str:
        """Return what an `rdg` command prints.

        Raises:
            RuntimeError: It failed; the error has its words.
        """
        process = await asyncio.create_subprocess_exec(
            *_rdg(*command),
            env=_environment(self.settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, words = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"rdg {' '.join(command)}: {words.decode().strip()}")
        return out.decode()


@asynccontextmanager
async def playground(settings: Settings) -> AsyncIterator[Playground]:
    """Open the bus and store of the settings; where they are the embedded ones, `rdg up` runs meanwhile."""
    if settings.bus is not None:
        async with _opened(settings) as ground:
            yield ground
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    async with _running(settings, "up"), _opened(settings) as ground:
        yield ground


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Playground]:
    await _reachable(settings)
    seal = await asyncio.to_thread(read_seal, settings.keys, settings.sealing)
    async with (
        open_store(settings.store_url, tls=settings.tls) as store,
        connect(settings.bus_url, settings.namespace, settings.tls) as transport,
    ):
        yield Playground(Bus(transport, "rdg/demo", store, seal=seal), store, settings)


async def _reachable(settings: Settings) -> None:
    """Wait for a bus that is coming up."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            async with connect(settings.bus_url, settings.namespace, settings.tls):
                return
        except BusUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _running(settings: Settings, *command: str) -> AsyncIterator[None]:
    log = settings.home / f"{command[0]}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_rdg(*command), env=_environment(settings), stdout=output, stderr=output
        )
    try:
        yield
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _rdg(*command: str) -> list[str]:
    return [str(Path(sys.executable).with_name("rdg")), *command]


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "RDG_HOME": str(settings.home)}
