"""How throughput grows with worker processes, and what a worker process weighs.

Throughput: jobs finished per minute with 1, 2, 4 and 8 real `rdg worker` processes over a real broker and a real
store. Each job is four messages to a stage that waits (a quarter of a second unless told otherwise), arrives at the
job's gate in the store and, with the last one, reports back: so the figure shows what the bus, the store and the
workers add, not what the arithmetic of a stage costs. Efficiency is throughput over processes times throughput of
one; the ideal is one message per wait and slot.

Weight: memory and time to be ready of worker processes by the stages they run, before and after they have taken part
in real jobs: train a first model on scikit-learn's digits, fit a generator, rehearse and train again.

Needs RabbitMQ 3.10 or later and mongod (private ones are started) or their URLs, the extras `server` and `test`, and
Linux for the weights. Waiting needs no cores; two are enough for 8 processes of 4 slots each.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from benchmarks.broker import broker as broker_at
from benchmarks.broker import database
from benchmarks.footprint import Footprint, footprint_of, ready_after_s
from benchmarks.report import heading, table
from benchmarks.waiting import NAME, JobFinished, WaitRequested
from benchmarks.waiting import installed as waiting_installed
from bus.bus import Bus
from bus.connect import connect
from bus.desk import attend
from bus.stage import Stage, Terms, topology
from schemas.job import FitSpec, RehearsalSpec, Spec, Training
from schemas.message import derived_id
from schemas.settings import Settings
from store.connect import open_store
from tests.pipeline.processes import workers
from tests.pipeline.system import NAMES, System, add_digits
from workers.pipeline import PIPELINE

SEED = 0
SHARDS = 4
WITHIN_S = 300
GROUPS = (
    ("prediction",),
    ("training",),
    tuple(name for name in PIPELINE if name not in ("prediction", "training")),
)


class Meter:
    """Publishes jobs and counts those that are finished."""

    def __init__(self, bus: Bus, wait_s: float) -> None:
        self._bus = bus
        self._wait_s = wait_s
        self._numbers = count()
        self._left: set[str] = set()
        self._none_left = asyncio.Event()

    async def handle(self, message: JobFinished) -> AsyncIterator[JobFinished]:
        """Take a job off the list."""
        self._left.discard(message.job)
        if not self._left:
            self._none_left.set()
        return
        yield

    async def finish(self, jobs: int) -> float:
        """Publish that many jobs, wait until all are finished, and return the jobs per minute."""
        run = f"scale-{next(self._numbers)}"
        names = [f"{run}-{number}" for number in range(jobs)]
        self._left = set(names)
        self._none_left.clear()
        began = time.monotonic()
        await self._bus.publish_all(
            self._shard(job, shard) for job in names for shard in range(SHARDS)
        )
        async with asyncio.timeout(WITHIN_S):
            await self._none_left.wait()
        return jobs / (time.monotonic() - began) * 60

    def _shard(self, job: str, shard: int) -> WaitRequested:
        key = derived_id(job, shard)
        return WaitRequested(id=key, job=job, shard=shard, shards=SHARDS, seconds=self._wait_s)


@asynccontextmanager
async def meter(bus_url: str, wait_s: float) -> AsyncIterator[Meter]:
    """Yield a meter that hears of finished jobs by a stage of its own."""
    async with connect(bus_url) as transport:
        bus = Bus(transport, "rdg/benchmark")
        jobs = Meter(bus, wait_s)
        stage = Stage("scale", (JobFinished,), (), jobs.handle)
        await transport.declare(topology([stage]))
        async with attend(bus, [stage], Terms(prefetch=256)):
            yield jobs


def main(
    broker: Annotated[
        str, typer.Option(help="amqp://… of a broker; default: a private node.")
    ] = "",
    store: Annotated[str, typer.Option(help="mongodb://…; default: a private server.")] = "",
    processes: Annotated[
        list[int] | None, typer.Option(min=1, help="Default: 1, 2, 4 and 8.")
    ] = None,
    prefetch: Annotated[
        list[int] | None, typer.Option(min=1, help="Slots of a process. Default: 1 and 4.")
    ] = None,
    wait_ms: Annotated[int, typer.Option(min=1, help="What a message waits.")] = 250,
    seconds: Annotated[
        float, typer.Option(min=1, help="About how long each measurement takes.")
    ] = 15,
    weight: Annotated[bool, typer.Option(help="Also weigh worker processes.")] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two small measurements: does it run?")
    ] = False,
) -> None:
    """Measure jobs per minute with 1, 2, 4 and 8 worker processes, and what a worker process weighs."""
    counts = [1, 2] if quick else processes or [1, 2, 4, 8]
    slots = [4] if quick else prefetch or [1, 4]
    seconds = 2 if quick else seconds
    heading(
        SEED, ("aio-pika", "motor", "pydantic", "uvloop", "torch"), wait_ms=wait_ms, shards=SHARDS
    )
    with broker_at(broker) as bus_url, database(store) as store_url, waiting_installed() as package:
        environment = {"RDG_BUS": bus_url, "RDG_STORE": store_url}
        for each in slots:
            joined = {**environment, "RDG_PREFETCH": str(each), "PYTHONPATH": _path(package)}
            asyncio.run(_throughput(joined, counts, each, wait_ms / 1000, seconds))
        if weight:
            asyncio.run(_weights(environment))


async def _throughput(
    environment: dict[str, str], counts: Sequence[int], slots: int, wait_s: float, seconds: float
) -> None:
    rates: dict[int, float] = {}
    async with meter(environment["RDG_BUS"], wait_s) as jobs:
        for processes in counts:
            with tempfile.TemporaryDirectory() as folder:
                groups = [(NAME,)] * processes
                with workers(groups, environment, Path(folder)):
                    await jobs.finish(processes * slots)  # warms up: connections, caches
                    wanted = round(seconds / wait_s) * processes * slots // SHARDS
                    rates[processes] = await jobs.finish(wanted)
    rows = []
    for processes, rate in rates.items():
        ideal = processes * slots / wait_s / SHARDS * 60
        efficiency = rate / (processes * rates[counts[0]] / counts[0])
        rows.append((processes, rate, efficiency, rate / ideal))
    columns = ("worker processes", "jobs/min", "efficiency", "share of ideal")
    table(f"Jobs finished per minute, {slots} messages in flight per process", columns, rows)


async def _weights(environment: dict[str, str]) -> None:
    settings = Settings(
        bus=SecretStr(environment["RDG_BUS"]), store=SecretStr(environment["RDG_STORE"])
    )
    with ExitStack() as stack:
        started, ready_s, before = [], [], []
        for group in GROUPS:  # one after the other: each start has the machine for itself
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (worker,) = stack.enter_context(workers([group], environment, folder))
            started.append(worker)
            ready_s.append(ready_after_s(worker))
            before.append(footprint_of(worker.process.pid))
        await _run_jobs(settings)
        after = [footprint_of(worker.process.pid) for worker in started]
    _print_weights(ready_s, before, after)


async def _run_jobs(settings: Settings) -> None:
    """Run jobs in which every stage takes part."""
    old, new = NAMES[:5], NAMES[5:]
    training = Training(epochs=5)
    async with (
        open_store(settings.store_url) as store,
        connect(settings.bus_url, settings.namespace) as transport,
    ):
        system = System(Bus(transport, "rdg/benchmark", store), store, settings)
        await add_digits(store, "old", old)
        await add_digits(store, "new", new)
        specs: tuple[Spec, ...] = (
            RehearsalSpec(model="digits", new_data="old", training=training),
            FitSpec(model="digits", generator="gmm", data="old"),
            RehearsalSpec(
                model="digits",
                new_data="new",
                generator="gmm",
                classes=old,
                count=60,
                training=training,
            ),
        )
        for number, spec in enumerate(specs):
            job = await system.run(f"weight-{number}", spec)
            if job.state != "completed":
                raise RuntimeError(f"job {job.id} {job.state}: {job.reason}")


def _print_weights(
    ready_s: Sequence[float], before: Sequence[Footprint], after: Sequence[Footprint]
) -> None:
    rows = [
        (" ".join(group), seconds, *early.cells, *late.cells)
        for group, seconds, early, late in zip(GROUPS, ready_s, before, after, strict=True)
    ]
    columns = (
        "stages",
        "ready after s",
        "RSS MiB",
        "PSS MiB",
        "torch",
        "RSS after jobs",
        "PSS after jobs",
        "torch after jobs",
    )
    table("What a worker process weighs", columns, rows)


def _path(package: Path) -> str:
    """Return a search path with the package, before what the environment names."""
    return os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH", ""))))


if __name__ == "__main__":
    typer.run(main)
