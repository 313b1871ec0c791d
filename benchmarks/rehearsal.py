"""How well each generator keeps a model from forgetting: class-incremental learning, through the pipeline.

Five tasks of two classes arrive one after the other, as rehearsal jobs of the embedded system (the in-memory bus and
SQLite: the same stages as everywhere). After each task the model is scored on the test samples of all classes seen;
in tables by which choices are made (ablation, keeping), on training samples that no job is given. Of earlier tasks
nothing is kept but what the generator keeps. The arms and tables are in benchmarks/arms.py.

    python -m benchmarks.rehearsal --all
    python -m benchmarks.rehearsal --tables main bytes --data mnist
    python -m benchmarks.rehearsal --arms gmm joint --seeds 0 1 --orders 0 1
    python -m benchmarks.rehearsal --arms naive gmm joint --data cifar-10

That is all that is measured of learning but for what has a command of its own: benchmarks.twenty (classes that come
again), latents (CIFAR-10 behind a frozen front end), tabular, privacy, sheets, peers.avalanche_replay.

Runs are kept in --out and not repeated, whatever has changed since: delete them then. Two run at a time. Needs
`RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.arms import ARMS, DATA, EPOCHS, SUITED, TABLES, Judged, Table
from benchmarks.incremental import Course, by_class, learn
from benchmarks.report import heading
from control.sources import Labelled, Splits
from control.verbs import datasets
from learning.metrics import average_forgetting, backward_transfer
from learning.problem import held_out
from schemas.settings import Settings

TASKS = 5
DEVELOPMENT, DRAWN_BY = 0.1, 1_000  # share of a class, and the seed that draws it: no arm's


@dataclass(frozen=True)
class Case:
    """One pass over the five tasks: an arm, on a data set, in an order of its classes, with a seed; see Table."""

    data: str
    arm: str
    order: int
    seed: int
    judged: Judged = "test"

    @property
    def name(self) -> str:
        """The name of its result's file."""
        judged = "" if self.judged == "test" else f".{self.judged}"
        return f"{self.data}.{self.arm.replace(' ', '_')}.{self.order}.{self.seed}{judged}.json"


@dataclass(frozen=True)
class Run:
    """What one pass gave.

    `seconds` is CPU time of all that the arm did. `matrix[i][j]` is the accuracy on the samples of task j that it is
    judged on after task i, nan where j is still to come.
    """

    case: Case
    matrix: list[list[float]]
    accuracy: float
    bytes_per_class: float
    seconds: float


async def measure(case: Case) -> Run:
    """Run one case through the pipeline."""
    settings = Settings()
    reading = datasets.Origin(case.data), settings.data_dir, settings.home / "downloads"
    splits = await datasets.read(*reading)
    if case.judged == "development":
        splits = development(splits.train)
    course = Course(
        tasks=by_class(splits, _tasks(_ordered(splits.train.classes, case.order))),
        training={"epochs": EPOCHS, "augmentation": SUITED[case.data]},
    )
    result = await learn(course, ARMS[case.arm], case.seed)
    return Run(case, result.matrix, result.accuracy, result.bytes_per_class, result.seconds)


def development(train: Labelled) -> Splits:
    """Return the training samples without a tenth of each class, which takes the place of the test set."""
    held = held_out(train.samples, train.labels, DEVELOPMENT, DRAWN_BY)
    learned, judged = (
        replace(train, samples=train.samples[chosen], labels=train.labels[chosen])
        for chosen in (~held, held)
    )
    return Splits(learned, judged)


def _ordered(classes: Sequence[str], order: int) -> list[str]:
    places = (
        np.random.default_rng(order).permutation(len(classes)) if order else range(len(classes))
    )
    return [classes[place] for place in places]


def _tasks(classes: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    width = len(classes) // TASKS
    return tuple(tuple(classes[start : start + width]) for start in range(0, len(classes), width))


def table(asked: Table, runs: Sequence[Run]) -> str:
    """Return mean and spread over seeds for each data set and arm, in Markdown."""
    lines = [
        "| data | arm | accuracy % | per task % | forgetting % | backward transfer % | KB/class | CPU s | runs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for data in asked.data:
        for arm in asked.arms:
            own = [
                run
                for run in runs
                if (run.case.data, run.case.arm, run.case.judged) == (data, arm, asked.judged)
                and run.case.order in asked.orders
                and run.case.seed in asked.seeds
            ]
            lines += [_line(data, arm, own)] if own else []
    return f"### {asked.title}, judged on {asked.judged} samples\n\n" + "\n".join(lines)


def _line(data: str, arm: str, runs: list[Run]) -> str:
    accuracy = [100 * run.accuracy for run in runs]
    tasks = 100 * np.mean([run.matrix[-1] for run in runs], axis=0)
    forgot, transfer = "", ""
    if len(runs[0].matrix) > 1:
        square = [np.array(run.matrix) for run in runs]
        forgot = f"{100 * np.mean([average_forgetting(each) for each in square]):.1f}"
        transfer = f"{100 * np.mean([backward_transfer(each) for each in square]):.1f}"
    kept = np.mean([run.bytes_per_class for run in runs]) / 1024
    size = "all" if ARMS[arm].joint else f"{kept:.1f}"
    seconds = np.mean([run.seconds for run in runs])
    return (
        f"| {data} | {arm} | {np.mean(accuracy):.2f} ± {np.std(accuracy):.2f} "
        f"| {' / '.join(f'{task:.1f}' for task in tasks)} "
        f"| {forgot} | {transfer} | {size} | {seconds:.0f} | {len(runs)} |"
    )


def _cases(tables: Sequence[Table]) -> Iterator[Case]:
    for each in tables:
        for seed in each.seeds:
            for order in each.orders:
                for data in each.data:
                    yield from (Case(data, arm, order, seed, each.judged) for arm in each.arms)


def _run_missing(cases: Sequence[Case], folder: Path, jobs: int) -> None:
    """Run what has no result yet, `jobs` processes at a time: each is one thread of training."""
    running: list[subprocess.Popen[bytes]] = []
    for case in dict.fromkeys(cases):
        if (folder / case.name).exists():
            continue
        while len(running) >= jobs:
            running.pop(0).wait()
        sys.stderr.write(f"{case}\n")
        one = ["--one", json.dumps(asdict(case)), "--out", str(folder)]
        running.append(subprocess.Popen([sys.executable, "-m", "benchmarks.rehearsal", *one]))
    for process in running:
        process.wait()
    if lacking := [case.name for case in cases if not (folder / case.name).exists()]:
        raise SystemExit(f"no result of {', '.join(lacking)}: the reason is above")


def read(folder: Path) -> list[Run]:
    """Return the results kept in a folder; one that does not say so was judged on the test set."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [Run(**{**fields, "case": Case(**fields["case"])}) for fields in found]


def _tables(arguments: argparse.Namespace) -> list[Table]:
    """Return the tables asked for, by name, or the one that the arms asked for make."""
    if arguments.arms:
        named = (tuple(arguments.arms), tuple(arguments.seeds), tuple(arguments.orders))
        asked = [Table("Arms asked for", *named, judged=arguments.judged)]
    else:
        asked = [TABLES[name] for name in (TABLES if arguments.all else arguments.tables)]
    return [replace(each, data=tuple(arguments.data)) for each in asked]


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--all", action="store_true", help="every table here, not the commands named above"
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=["main"])
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--data", nargs="+", choices=SUITED, default=list(DATA))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="with --arms")
    parser.add_argument("--orders", nargs="+", type=int, default=[0], help="with --arms")
    parser.add_argument("--judged", choices=get_args(Judged), default="test", help="with --arms")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, default=Path("out/rehearsal"))
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        case = Case(**arguments.one)
        result = json.dumps(asdict(asyncio.run(measure(case))))
        unfinished = arguments.out / f"{case.name}.part"
        unfinished.write_text(result)
        unfinished.rename(arguments.out / case.name)
        return
    tables = _tables(arguments)
    _run_missing(list(_cases(tables)), arguments.out, arguments.jobs)
    runs = read(arguments.out)
    heading(0, ("numpy", "scikit-learn", "torch"), epochs=EPOCHS)
    print("\n" + "\n\n".join(table(each, runs) for each in tables))


if __name__ == "__main__":
    main()
