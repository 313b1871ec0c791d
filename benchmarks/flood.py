"""Ten thousand jobs at once: what is accepted, what it does to the memory of every process, and who waits for whom.

Flood: many jobs are submitted as fast as one process can, 64 at a time, as `rdg job submit` does it, and then more
until some are refused. Each is small, and goes through every stage but fitting, training and releasing: one shard of
two stored samples, which the review's policy rejects. Resident memory of every worker, of the broker and of mongod is
sampled each second from the first submission until the jobs are over, or until the time for that is up. Growth is the
median of the last quarter of the samples less that of the second quarter: "flat" is up to 5 % of the median.

Fairness: a small job by itself; then five beside a huge one that began before, with the window and without one. A small
job is the one of the flood; a huge one is the same with thousands of shards of 500 samples.

Both over RabbitMQ and MongoDB with a worker process for each group of stages, and in one process by `rdg up`. Needs
RabbitMQ 3.10 or later and mongod (private ones are started), the extras `server` and `test`, and Linux.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated
from uuid import uuid4

import typer
from pydantic import SecretStr

from benchmarks.broker import broker, database
from benchmarks.memory import COLUMNS, memory
from benchmarks.report import heading, table
from bus.bus import Bus
from bus.connect import connect
from bus.errors import Busy
from control.playground import playground
from control.verbs import jobs
from schemas.documents import NEXT_STATES, TERMINAL, Job
from schemas.flow import MAX_SHARDS
from schemas.job import FitSpec, RehearsalSpec
from schemas.settings import Settings
from store.connect import open_store
from store.jobs import finish
from tests.pipeline.processes import workers
from tests.pipeline.system import NAMES, System, add_digits
from workers.planning import SUBMITTED_LIMIT
from workers.shards import SHARD_SAMPLES

SEED = 0
WINDOW = Settings().window
ACTIVE_JOBS = Settings().active_jobs
LANES = 64
WARM_UP = 100
ENOUGH_REFUSED = 100
SMALL_JOBS = 5
GROUPS = (
    ("planning",),
    ("generation",),
    ("prediction", "labelling"),
    ("collection", "review"),
    ("fitting", "training", "releasing", "fleet"),
)
Start = Callable[[int], AbstractAsyncContextManager[System]]


@dataclass
class Submitted:
    """What became of submissions, and how long they took together."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0


def spec(samples: int = 2, seed: int = SEED) -> RehearsalSpec:
    """Return a job that its review rejects."""
    asked = {
        "model": "digits",
        "new_data": "new",
        "generator": "original",
        "classes": NAMES[:1],
        "count": samples,
        "fit_new": False,
        "review": {"min_count": 1_000_000},
        "seed": seed,
    }
    return RehearsalSpec.model_validate(asked)


async def prepare(system: System) -> System:
    """Store the data that every job needs."""
    await add_digits(system.store, "old", NAMES[:2])
    await add_digits(system.store, "new", NAMES[5:])
    await system.run("j-fit", FitSpec(model="digits", generator="original", data="old"))
    return system


@asynccontextmanager
async def distributed(window: int) -> AsyncIterator[System]:
    """Run a worker process for each group of stages, over servers of their own."""
    os.environ["RDG_WINDOW"] = str(window)
    with ExitStack() as stack:
        bus_url, store_url = stack.enter_context(broker()), stack.enter_context(database())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(bus=SecretStr(bus_url), store=SecretStr(store_url))
        stack.enter_context(workers(GROUPS, {"RDG_BUS": bus_url, "RDG_STORE": store_url}, folder))
        async with open_store(store_url) as store, connect(bus_url) as transport:
            yield await prepare(System(Bus(transport, "rdg/benchmark", store), store, settings))


@asynccontextmanager
async def embedded(window: int) -> AsyncIterator[System]:
    """Run `rdg up` with a home of its own."""
    os.environ["RDG_WINDOW"] = str(window)
    with tempfile.TemporaryDirectory() as folder:
        async with playground(Settings(home=Path(folder))) as ground:
            yield await prepare(System(ground.bus, ground.store, ground.settings))


async def submit(system: System, seeds: Iterator[int], enough_refused: int) -> Submitted:
    """Submit a job for each seed, LANES at a time, until so many were refused."""
    result, began = Submitted(), time.monotonic()

    async def lane() -> None:
        for seed in seeds:
            try:
                await jobs.submit(system.store, system.bus, spec(seed=seed))
                result.accepted += 1
            except Busy:
                result.refused += 1
            if result.refused >= enough_refused:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(lane())
    result.seconds = time.monotonic() - began
    return result


async def still_open(system: System) -> int:
    """Return how many jobs are not over."""
    return sum(
        [await system.store.count(Job, state=each) for each in NEXT_STATES.keys() - TERMINAL]
    )


async def drain(system: System, within_s: float) -> tuple[int, float]:
    """Wait until all jobs are over or time is up; return how many are not, and the seconds."""
    began = time.monotonic()

    async def is_over() -> bool:
        return not await still_open(system) or time.monotonic() - began > within_s

    await until(is_over, every_s=0.5)
    return await still_open(system), time.monotonic() - began


async def until(is_so: Callable[[], Awaitable[bool]], every_s: float = 0.02) -> None:
    """Ask again and again; the store has no events."""
    while not await is_so():  # noqa: ASYNC110
        await asyncio.sleep(every_s)


async def flood(name: str, start: Start, count: int, beyond: int, drain_s: float) -> None:
    """Measure and print one flood."""
    async with start(WINDOW) as system:
        await submit(system, iter(range(WARM_UP)), ENOUGH_REFUSED)
        await drain(system, drain_s)
        async with memory() as taken:
            first = await submit(system, iter(range(count)), count)
            more = await submit(system, iter(range(beyond)), ENOUGH_REFUSED)
            waiting = await still_open(system)
            left, seconds = await drain(system, drain_s)
    rows = [
        (f"the first {count}", first.accepted, first.refused, first.seconds, _rate(first)),
        ("more, until refused", more.accepted, more.refused, more.seconds, _rate(more)),
    ]
    columns = ("submitted", "accepted", "refused as busy", "seconds", "submissions/s")
    table(f"{name}: {count} jobs at once, {SUBMITTED_LIMIT} may wait", columns, rows)
    print(f"\nopen after that {waiting}, {left} of them {seconds:.0f} s later: ", end="")
    print(f"{(waiting - left) / max(seconds, 1e-9):.0f} jobs/s done")
    table(f"{name}: memory of every process", COLUMNS, taken.rows)


def _rate(submitted: Submitted) -> float:
    return (submitted.accepted + submitted.refused) / max(submitted.seconds, 1e-9)


async def fairness(start: Start, window: int, shards: int) -> tuple[float, float, int]:
    """Return the seconds that a small job takes alone and beside a huge one, and how far that is by then."""
    async with start(window) as system:
        await small_jobs(system, 1)  # warms up
        alone = await small_jobs(system, 1)
        huge = await system.start("j-huge", spec(shards * SHARD_SAMPLES))

        async def has_begun() -> bool:
            return bool(await system.store.arrived(huge.run))

        await until(has_begun)
        beside = await small_jobs(system, SMALL_JOBS)
        done = len(await system.store.arrived(huge.run))  # its gate is forgotten once it is over
        ended = await finish(system.store, huge, "cancelled", "seen enough")
        return alone, beside, done if ended.state == "cancelled" else shards


async def small_jobs(system: System, count: int) -> float:
    """Submit small jobs at the same time; return the median of their seconds."""

    async def one() -> float:
        began = time.monotonic()
        job = await system.start(f"j-{uuid4().hex[:12]}", spec())

        async def is_over() -> bool:
            return (await system.store.get(Job, job.id)).is_over

        await until(is_over)
        return time.monotonic() - began

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one()) for _ in range(count)]
    return median(task.result() for task in running)


async def compare(name: str, start: Start, shards: int) -> None:
    """Measure and print what a huge job does to small ones, with the window and without."""
    rows = []
    for window in (WINDOW, MAX_SHARDS):
        alone, beside, done = await fairness(start, window, shards)
        label = str(window) if window < MAX_SHARDS else "none"
        rows.append((label, alone, beside, beside / alone, done))
    columns = ("window", "alone, s", "beside, s", "times", "shards of the huge job in by then")
    table(f"{name}: a small job beside one of {shards} shards", columns, rows)


def main(
    count: Annotated[int, typer.Option("--jobs", min=1, help="Jobs at once.")] = 10_000,
    beyond: Annotated[
        int, typer.Option(min=0, help="Most jobs submitted after those, until some are refused.")
    ] = 2 * SUBMITTED_LIMIT,
    shards: Annotated[int, typer.Option(min=1, max=MAX_SHARDS, help="Of the huge job.")] = 2_000,
    drain_s: Annotated[float, typer.Option(min=0, help="Longest wait for the jobs' end.")] = 60,
    quick: Annotated[bool, typer.Option("--quick", help="A small one: does it run?")] = False,
) -> None:
    """Measure a flood of jobs, and how fair a huge job is to small ones."""
    if quick:
        count, beyond, shards, drain_s = 300, 0, 200, 60
    limits = {"window": WINDOW, "active_jobs": ACTIVE_JOBS}
    heading(SEED, ("aio-pika", "motor", "pydantic", "uvloop"), jobs=count, shards=shards, **limits)
    for name, start in (("RabbitMQ and MongoDB", distributed), ("rdg up", embedded)):
        asyncio.run(flood(name, start, count, beyond, drain_s))
        asyncio.run(compare(name, start, shards))


if __name__ == "__main__":
    typer.run(main)
