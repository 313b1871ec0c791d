"""A process of the product that is started again whenever it ends, as a service manager would."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bus.tasks import tasks
from tests.chaos.proxy import Proxy

ROOT = Path(__file__).parents[2]
RESTART_S = 0.2
STOP_S = 60.0
READY = b"ready:"


@dataclass
class Unit:
    """A supervised process.

    Attributes:
        name: What it is called in logs.
        command: Module and arguments; it runs under the clock of tests/chaos/skewed.py.
        environment: Besides that of this process.
        log: Where all that it ever wrote is kept.
        links: Its ways to the bus and to the store; none if it goes past the proxies.
        starts: How often it was started.
        ready: Set while it says that its consumers exist.

    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    links: tuple[Proxy, ...] = ()
    starts: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None
    _is_stopping: bool = False

    @property
    def pid(self) -> int:
        """Process id of its present process, or of the last one."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Signal the process, unless it has just ended by itself."""
        if number == signal.SIGKILL:
            self.ready.clear()
        with suppress(ProcessLookupError):
            if self._process is not None:
                self._process.send_signal(number)

    async def stop(self) -> int:
        """End it in good order for good, and return its exit code; after STOP_S it is killed."""
        self._is_stopping = True
        assert self._process is not None
        self.send(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                return await self._process.wait()
        self.send(signal.SIGKILL)
        return await self._process.wait()

    async def keep(self) -> None:
        """Run it again and again until it is stopped."""
        with self.log.open("ab", buffering=0) as log:
            while not self._is_stopping:
                process = await self._start()
                assert process.stdout is not None
                async for line in process.stdout:
                    log.write(line)
                    if READY in line:
                        self.ready.set()
                await process.wait()
                self.ready.clear()
                log.write(b"--- ended with %d\n" % (process.returncode or 0))
                await asyncio.sleep(RESTART_S)

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(sys.executable, "-m", "tests.chaos.skewed", *self.command),
            env={**os.environ, **self.environment},
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            start_new_session=True,
        )
        self.starts += 1
        return self._process


@asynccontextmanager
async def supervised(units: Sequence[Unit]) -> AsyncIterator[None]:
    """Keep the units running while the context is open; what still runs at the end is killed."""
    try:
        async with tasks() as group:
            for unit in units:
                group.create_task(unit.keep(), name=unit.name)
            yield
    finally:
        for unit in units:
            await _kill(unit)


async def _kill(unit: Unit) -> None:
    if unit._process is not None:
        unit.send(signal.SIGKILL)
        await unit._process.communicate()  # closes its pipe
