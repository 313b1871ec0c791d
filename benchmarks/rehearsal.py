"""How well each generator keeps a model from forgetting: class-incremental learning, through the pipeline.

Five tasks of two classes arrive one after the other, as rehearsal jobs of the embedded system (the in-memory bus and
SQLite: the same stages as everywhere). After each task the model is scored on the test samples of all classes seen.
Of earlier tasks nothing is kept but what the generator keeps; `original-N` keeps N real images a class, `naive`
nothing, `joint` has everything at once.

    python -m benchmarks.rehearsal --data mnist --arms naive gmm joint --seeds 0 1 2

Runs are kept in --out and not repeated; two run at a time. Needs `RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from control.verbs import datasets
from learning.metrics import average_forgetting, backward_transfer
from schemas.documents import Fitted, ModelVersion
from schemas.job import RehearsalSpec
from schemas.settings import Settings
from tests.pipeline.system import System, embedded

TASKS = 5
DATA = ("mnist", "fashion-mnist")
ARMS = ("naive", "gmm", "original-10", "original-100", "joint", "ga", "gan")
TRAINING = {"epochs": 3, "patience": 3, "batch_size": 128}
COUNTS = {"gmm": 1000, "gan": 1000, "ga": 300}


@dataclass(frozen=True)
class Run:
    """What one pass over the five tasks gave.

    `seconds` is CPU time of all that the arm did. `matrix[i][j]` is the accuracy on the test samples of task j after
    task i, nan where j is still to come.
    """

    data: str
    arm: str
    seed: int
    matrix: list[list[float]]
    accuracy: float
    bytes_per_class: float
    seconds: float


async def measure(data: str, arm: str, seed: int) -> Run:
    """Run one arm through the pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded(Path(folder), slice_s=20, cache_bytes=1 << 29) as system:
            classes = await _add_data(system, data)
            started = time.process_time()
            matrix, accuracy = await _learn(system, arm, seed, classes)
            seconds = time.process_time() - started
            kept = await system.store.find(Fitted, model="m", limit=100)
            size = sum(fit.size_bytes for fit in kept) / len(classes)
            return Run(data, arm, seed, matrix, accuracy, size, seconds)


async def _add_data(system: System, data: str) -> tuple[str, ...]:
    """Store the whole set, for scoring and for `joint`, and each task's share of it."""
    settings = Settings()
    origin = datasets.Origin(data)
    splits = await datasets.read(origin, settings.data_dir, settings.home / "downloads")
    await datasets.add(system.store, "all", splits, data)
    classes = splits.train.classes
    for number, own in enumerate(_tasks(classes)):
        share = await datasets.read(
            datasets.Origin(data, own), settings.data_dir, settings.home / "downloads"
        )
        await datasets.add(system.store, f"task-{number}", share, data)
    return classes


def _tasks(classes: tuple[str, ...]) -> list[tuple[str, ...]]:
    width = len(classes) // TASKS
    return [classes[start : start + width] for start in range(0, len(classes), width)]


async def _learn(
    system: System, arm: str, seed: int, classes: tuple[str, ...]
) -> tuple[list[list[float]], float]:
    tasks = _tasks(classes)
    if arm == "joint":
        version = await _job(system, "j-joint", {"new_data": "all", "seed": seed})
        return [_row(version, tasks)], version.scores.accuracy
    matrix = []
    for number, _ in enumerate(tasks):
        earlier = [name for own in tasks[:number] for name in own]
        asked = {"new_data": f"task-{number}", "seed": seed, **_rehearsal(arm, earlier)}
        version = await _job(system, f"j-{number}", asked)
        matrix.append(_row(version, tasks))
    return matrix, version.scores.accuracy


def _rehearsal(arm: str, earlier: list[str]) -> dict[str, object]:
    """Return what an arm asks for beyond plain training."""
    if arm == "naive":
        return {}
    generator, _, budget = arm.partition("-")
    asked: dict[str, object] = {"generator": generator, "classes": earlier}
    if budget:
        return asked | {"options": {"budget": int(budget)}, "count": int(budget)}
    return asked | {"count": COUNTS[generator]}


async def _job(system: System, key: str, asked: dict[str, object]) -> ModelVersion:
    common = {
        "model": "m",
        "probe": "all",
        "training": TRAINING,
        "filter": {"min_confidence": 0.5},
        "review": {"min_count": 0},
    }
    await system.start(key, RehearsalSpec.model_validate(common | asked))
    job = await system.over(key, within_s=3600)
    if job.state != "completed":
        raise SystemExit(f"{key} ended {job.state}: {job.reason}")
    return await system.store.get(ModelVersion, str(job.result))


def _row(version: ModelVersion, tasks: list[tuple[str, ...]]) -> list[float]:
    scores = version.scores.per_class
    return [float(np.mean([scores.get(name, np.nan) for name in own])) for own in tasks]


def table(runs: list[Run]) -> str:
    """Return mean and spread over seeds for each data set and arm, in Markdown."""
    lines = [
        "| data | arm | accuracy % | forgetting % | backward transfer % | KB/class | CPU s | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data in DATA:
        for arm in dict.fromkeys(run.arm for run in runs if run.data == data):
            own = [run for run in runs if (run.data, run.arm) == (data, arm)]
            lines.append(_line(data, arm, own))
    return "\n".join(lines)


def _line(data: str, arm: str, runs: list[Run]) -> str:
    accuracy = [100 * run.accuracy for run in runs]
    forgot, transfer = "", ""
    if len(runs[0].matrix) > 1:
        square = [np.array(run.matrix) for run in runs]
        forgot = f"{100 * np.mean([average_forgetting(each) for each in square]):.1f}"
        transfer = f"{100 * np.mean([backward_transfer(each) for each in square]):.1f}"
    size = (
        f"{np.mean([run.bytes_per_class for run in runs]) / 1024:.0f}" if arm != "joint" else "all"
    )
    seconds = np.mean([run.seconds for run in runs])
    return (
        f"| {data} | {arm} | {np.mean(accuracy):.2f} ± {np.std(accuracy):.2f} | {forgot} | {transfer} "
        f"| {size} | {seconds:.0f} | {len(runs)} |"
    )


def _missing(arguments: argparse.Namespace) -> list[tuple[str, str, int, Path]]:
    wanted = [
        (data, arm, seed, arguments.out / f"{data}.{arm}.{seed}.json")
        for seed in arguments.seeds
        for data in arguments.data
        for arm in arguments.arms
    ]
    return [each for each in wanted if not each[3].exists()]


def _run_missing(arguments: argparse.Namespace) -> None:
    """Run what has no result yet, `--jobs` processes at a time: each is one thread of training."""
    running: list[subprocess.Popen[bytes]] = []
    for data, arm, seed, path in _missing(arguments):
        if len(running) >= arguments.jobs:
            running.pop(0).wait()
        sys.stderr.write(f"{data} {arm} seed {seed}\n")
        one = ["--one", data, arm, str(seed), "--out", str(path)]
        running.append(subprocess.Popen([sys.executable, "-m", "benchmarks.rehearsal", *one]))
    for process in running:
        process.wait()


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=f"default: {' '.join(ARMS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, default=Path("out/rehearsal"))
    parser.add_argument("--one", nargs=3, metavar=("DATA", "ARM", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        data, arm, seed = arguments.one
        run = asyncio.run(measure(data, arm, int(seed)))
        arguments.out.write_text(json.dumps(asdict(run)))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    _run_missing(arguments)
    runs = [Run(**json.loads(path.read_text())) for path in sorted(arguments.out.glob("*.json"))]
    print(table(runs))


if __name__ == "__main__":
    main()
