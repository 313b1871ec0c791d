"""The design of Vora, Suri and Yeturu (2021), rebuilt, beside this project's: the same class from the same generators.

`python -m benchmarks.paper_design [--quick] [--rounds N]` prints seconds and bytes. Both designs run on this machine,
as processes of their own, with the same network, generators and digits, and one thread a matrix product. A job is one
class: the genetic algorithm with 30 cultures of 8 images and 5 generations, started from noise, or a Gaussian mixture.

Time is from the publisher's request until the samples are there to be reviewed, at the paper's controller or in this
project's store; each system has served one order before. Rounds alternate between all settings. Bytes are counted in
a run of their own, on every connection of either design; see benchmarks/byte_meter.py.
"""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated
from urllib.parse import urlsplit

import typer

from benchmarks.broker import broker, database
from benchmarks.byte_meter import ByteMeter, byte_meter
from benchmarks.paper_pipeline import WORKERS, pipeline
from benchmarks.paper_rebuilt import Polling, rebuilt, write_task
from benchmarks.paper_task import PaperTask, paper_task
from benchmarks.report import heading, table

DISTRIBUTIONS = ("aio-pika", "motor", "numpy", "flask", "werkzeug", "requests", "pymongo")
OURS = "this project, RabbitMQ and MongoDB"
PAPER_S = 12.5 * 60
"""What the paper reports for a class: 150 interactions over Wi-Fi between three machines (section 3)."""
TARGET = 8
"""A class that five generations from noise get the MNIST network to believe in.

The pipeline keeps only what the network confirms; the paper sends the search's last images on as they are. Of the
enlarged digits nothing may be kept.
"""
POLLINGS = tuple(
    Polling(interval_s, at_once) for at_once in (1, 8) for interval_s in (0.05, 0.01, 0.001)
)
QUICK = (Polling(0.05, 1), Polling(0.01, 8))


@dataclass(frozen=True)
class Work:
    """What is asked for."""

    generator: str
    count: int

    def __str__(self) -> str:
        what = "cultures" if self.generator == "ga" else "samples"
        return f"{self.generator}, {self.count} {what}"


SEARCH = Work("ga", 30)
ALL_WORK = (SEARCH, Work("gmm", 30), Work("gmm", 1000))


@dataclass(frozen=True)
class Bench:
    """Everything that a run needs."""

    task: PaperTask
    folder: Path
    broker_port: int
    database_port: int
    seed: int


@dataclass
class Figures:
    """What was measured, by design and work. `generating_s`: ours, from the orders to the finished set."""

    seconds: dict[tuple[str, Work], list[float]] = field(default_factory=lambda: defaultdict(list))
    generating_s: dict[Work, list[float]] = field(default_factory=lambda: defaultdict(list))
    samples: dict[tuple[str, Work], int] = field(default_factory=dict)

    def median_s(self, design: str, work: Work) -> float:
        """Return the median of the rounds, in seconds."""
        return median(self.seconds[design, work])


async def time_rebuilt(bench: Bench, polling: Polling, figures: Figures) -> None:
    """Measure one setting of the rebuilt design once."""
    async with rebuilt(bench.folder, bench.database_port, polling) as system:
        for work in ALL_WORK:
            await asyncio.to_thread(system.run, work.generator, TARGET, 1, bench.seed)
            seconds, images = await asyncio.to_thread(
                system.run, work.generator, TARGET, work.count, bench.seed
            )
            figures.seconds[str(polling), work].append(seconds)
            figures.samples[str(polling), work] = images


async def time_pipeline(bench: Bench, figures: Figures) -> None:
    """Measure the pipeline once."""
    async with pipeline(bench.task, bench.folder, bench.broker_port, bench.database_port) as system:
        for work in ALL_WORK:
            await system.run(work.generator, TARGET, 1, bench.seed)
            whole_s, generating_s, kept = await system.run(
                work.generator, TARGET, work.count, bench.seed
            )
            figures.seconds[OURS, work].append(whole_s)
            figures.generating_s[work].append(generating_s)
            figures.samples[OURS, work] = kept


async def bytes_of_rebuilt(bench: Bench, polling: Polling) -> dict[Work, dict[str, int]]:
    """Return the bytes on each server's connections."""
    counted: dict[Work, dict[str, int]] = {}
    async with (
        byte_meter() as meter,
        rebuilt(bench.folder, bench.database_port, polling, meter) as system,
    ):
        for work in ALL_WORK:
            await asyncio.to_thread(system.run, work.generator, TARGET, 1, bench.seed)
            with counting(meter, counted, work):
                await asyncio.to_thread(system.run, work.generator, TARGET, work.count, bench.seed)
    return counted


async def bytes_of_pipeline(bench: Bench) -> dict[Work, dict[str, int]]:
    """Return the bytes on each server's connections."""
    counted: dict[Work, dict[str, int]] = {}
    ports = bench.broker_port, bench.database_port
    async with byte_meter() as meter, pipeline(bench.task, bench.folder, *ports, meter) as system:
        for work in ALL_WORK:
            await system.run(work.generator, TARGET, 1, bench.seed)
            with counting(meter, counted, work):
                await system.run(work.generator, TARGET, work.count, bench.seed)
    return counted


@contextmanager
def counting(meter: ByteMeter, counted: dict[Work, dict[str, int]], work: Work) -> Iterator[None]:
    """Note the bytes of what happens inside."""
    before = dict(meter.by_server)
    yield
    counted[work] = {name: total - before[name] for name, total in meter.by_server.items()}


def print_seconds(figures: Figures, designs: list[str]) -> None:
    """Print what each design took, and its ratio to this project."""
    columns = ("design", "samples", "seconds (median)", "least", "most", "ours is faster")
    for work in ALL_WORK:
        rows = [_row(name, work, figures) for name in [*designs, OURS]]
        generating = median(figures.generating_s[work])
        rows.append(("  of it, orders to rehearsal set", "", generating, "", "", ""))
        if work == SEARCH:
            reported = "the paper's report, three machines over Wi-Fi"
            rows.insert(0, (reported, "", PAPER_S, "", "", ""))
        table(f"One class: {work}", columns, rows)


def _row(name: str, work: Work, figures: Figures) -> tuple[object, ...]:
    seconds, middle = figures.seconds[name, work], figures.median_s(name, work)
    ratio = "" if name == OURS else f"{middle / figures.median_s(OURS, work):.1f}x"
    return name, figures.samples[name, work], middle, min(seconds), max(seconds), ratio


def print_bytes(
    theirs: dict[Work, dict[str, int]], ours: dict[Work, dict[str, int]], polling: Polling
) -> None:
    """Print the megabytes on the wire by server."""
    rows = []
    for work in ALL_WORK:
        sums = sum(theirs[work].values()), sum(ours[work].values())
        rows.append(
            (work, "rebuilt", _parts(theirs[work]), sums[0] / 1e6, f"{sums[0] / sums[1]:.1f}x")
        )
        rows.append((work, "this project", _parts(ours[work]), sums[1] / 1e6, ""))
    columns = ("one class", "design", "MB by server", "MB", "ours is smaller")
    table(f"Bytes on the wire (rebuilt: {polling})", columns, rows)


def _parts(by_server: dict[str, int]) -> str:
    return ", ".join(f"{name} {count / 1e6:.2f}" for name, count in by_server.items())


async def measure(bench: Bench, pollings: tuple[Polling, ...], rounds: int) -> None:
    """Measure everything and print it."""
    figures = Figures()
    for _ in range(rounds):
        for polling in pollings:
            await time_rebuilt(bench, polling, figures)
            await time_pipeline(bench, figures)
    print_seconds(figures, [str(polling) for polling in pollings])
    best = min(pollings, key=lambda polling: figures.median_s(str(polling), SEARCH))
    against_best = figures.median_s(str(best), SEARCH) / figures.median_s(OURS, SEARCH)
    print(
        f"\nAgainst the best setting of the rebuilt design ({best}), {SEARCH}: {against_best:.1f} times faster."
    )
    print_bytes(await bytes_of_rebuilt(bench, best), await bytes_of_pipeline(bench), best)


def main(
    rounds: Annotated[int, typer.Option(help="Measurements of each setting.")] = 3,
    quick: Annotated[
        bool, typer.Option(help="One round, two settings of the rebuilt design.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of the training split, the network and the samples.")
    ] = 0,
) -> None:
    """Measure the paper's design, rebuilt, beside this project's."""
    rounds, pollings = (1, QUICK) if quick else (rounds, POLLINGS)
    task = paper_task(seed)
    processes = f"{len(WORKERS)} workers, 3 services and a controller"
    heading(
        seed,
        DISTRIBUTIONS,
        rounds=rounds,
        data=task.source,
        accuracy=f"{task.accuracy:.3f}",
        processes=processes,
    )
    with broker() as amqp, database() as mongo, tempfile.TemporaryDirectory() as folder:
        write_task(task, Path(folder))
        bench = Bench(task, Path(folder), urlsplit(amqp).port or 0, urlsplit(mongo).port or 0, seed)
        asyncio.run(measure(bench, pollings, rounds))


if __name__ == "__main__":
    typer.run(main)
