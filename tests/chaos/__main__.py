"""`python -m tests.chaos --seed 1 --jobs 300 --faults 1000`: the long form. Exits 1 if anything was violated."""

import argparse
import asyncio
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from typer import echo

from tests.chaos.curriculum import Size, lessons
from tests.chaos.disk import storage
from tests.chaos.faults import KINDS, schedule
from tests.chaos.report import as_json, table
from tests.chaos.run import Plan, Result, finish, run
from tests.chaos.world import Nodes, world
from tests.servers.mongodb import mongodb
from tests.servers.process import ServerMissingError
from tests.servers.rabbitmq import rabbitmq

DATABASE_MEGABYTES = (
    4000  # files of a database that is killed every minute grow: room is free after a checkpoint
)
LEFTOVERS_WITHIN_S = 240.0


def main() -> int:
    """Run as the arguments say, print the table, and return the exit code."""
    asked = _arguments().parse_args()
    logging.disable(logging.CRITICAL)  # clients fail on the way; the result says how often
    folder = Path(mkdtemp(prefix="rdg-chaos-"))
    try:
        with _nodes(folder) as nodes:
            result = asyncio.run(_run(nodes, folder, asked))
    except ServerMissingError as missing:
        echo(f"error: {missing}", err=True)
        return 2
    echo(table(result))
    if asked.json:
        asked.json.write_text(as_json(result))
    if result.violations:
        echo(f"logs: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


async def _run(nodes: Nodes, folder: Path, asked: argparse.Namespace) -> Result:
    size = Size(asked.epochs, asked.generations)
    taught = await lessons(folder / "undisturbed", size)
    echo(f"seed {asked.seed}: {len(taught.outcomes)} jobs were run undisturbed")
    faults = schedule(asked.seed, asked.faults, asked.kinds)
    plan = Plan(
        f"seed{asked.seed}",
        faults,
        asked.jobs,
        job_lanes=asked.lanes,
        leftovers_within_s=LEFTOVERS_WITHIN_S,
    )
    async with world(nodes, folder, replicas=2) as disturbed:
        return await finish(disturbed, await run(disturbed, taught, plan, partial(echo, err=True)))


@contextmanager
def _nodes(folder: Path) -> Iterator[Nodes]:
    """Run a broker, and a database on a small disk of its own if that may be mounted."""
    broker_folder, database_folder = folder / "broker", folder / "database"
    broker_folder.mkdir()
    database_folder.mkdir()
    pids: list[Callable[[], int]] = []
    with (
        storage(database_folder, DATABASE_MEGABYTES, lambda: pids[0]()) as disk,
        rabbitmq(broker_folder) as broker,
        mongodb(database_folder) as database,
    ):
        pids.append(lambda: database.pid)
        yield Nodes(broker, database, "chaos", "chaos", disk)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the schedule: the same seed, the same faults"
    )
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=list(KINDS),
        metavar="KIND",
        help=", ".join(KINDS),
    )
    parser.add_argument("--lanes", type=int, default=8, help="chains of jobs at a time")
    parser.add_argument("--epochs", type=int, default=40, help="of each training")
    parser.add_argument("--generations", type=int, default=10, help="of each genetic search")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
