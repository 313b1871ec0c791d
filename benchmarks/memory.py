"""The memory of the processes that a benchmark started, over time, and whether it stays flat. Linux only."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from statistics import median

import psutil

from bus.tasks import tasks

MEBIBYTE = 1 << 20
FLAT = 0.05
EVERY_S = 1.0
SERVERS = {"beam.smp": "RabbitMQ", "mongod": "mongod"}

COLUMNS = ("process", "MiB at start", "median", "max", "at end", "growth", "")


@dataclass
class Memory:
    """Resident memory by process, in MiB, a sample each EVERY_S."""

    samples: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self) -> None:
        """Take a sample of every process that runs; a fork that is about to become something else is passed over."""
        now: dict[str, float] = {}
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                name, used = _name(child), child.memory_info().rss / MEBIBYTE
                now[name] = max(used, now.get(name, 0.0))
        for name in now.keys() - {""}:
            self.samples[name].append(now[name])

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """A line for each process, as in COLUMNS."""
        return [(name, *_summary(values)) for name, values in sorted(self.samples.items())]


@asynccontextmanager
async def memory() -> AsyncIterator[Memory]:
    """Watch the processes that this one has started while the context is open."""
    taken = Memory()

    async def watch() -> None:
        while True:
            await asyncio.to_thread(taken.take)
            await asyncio.sleep(EVERY_S)

    async with tasks() as group:
        group.create_task(watch())
        yield taken


def _summary(values: list[float]) -> tuple[object, ...]:
    """Return first, median, largest, last, and what the last quarter has more than the second one."""
    quarter = max(1, len(values) // 4)
    growth = median(values[-quarter:]) - median(values[quarter : 2 * quarter] or values)
    verdict = "flat" if growth <= FLAT * median(values) else "grows"
    return values[0], median(values), max(values), values[-1], growth, verdict


def _name(process: psutil.Process) -> str:
    """Return what a process is called in the table; empty: it is not looked at."""
    command = process.cmdline()
    if "workers" in command:
        return f"worker {' '.join(command[command.index('workers') + 1 :])}"
    if command[-1:] == ["up"] and PurePath(command[-2]).name == "rdg":
        return "rdg up"
    return SERVERS.get(process.name(), "")
