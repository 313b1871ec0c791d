"""Learning task after task, through the embedded pipeline, on any samples: what tabular.py and latents.py measure."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arms import ARMS, Arm
from benchmarks.report import table
from control.sources import Splits
from control.verbs import datasets
from schemas.documents import Fitted, ModelVersion
from schemas.job import RehearsalSpec
from tests.pipeline.system import System, embedded


@dataclass(frozen=True)
class Course:
    """What is to be learned.

    Attributes:
        splits: All samples.
        tasks: The classes of each task, in the order in which tasks come.
        training: Fields of schemas.job.Training.
        architecture: Of learning/architecture.py; None is its default for the samples' shape.

    """

    splits: Splits
    tasks: tuple[tuple[str, ...], ...]
    training: Mapping[str, object]
    architecture: str | None = None


@dataclass(frozen=True)
class Result:
    """What one pass over the tasks gave.

    Attributes:
        accuracy: On the test samples of all classes, after the last task.
        bytes_per_class: That generators keep; what is kept beside them to judge a set by is not in it.
        seconds: CPU time of all stages.
        matrix: `[i][j]` is the accuracy on the test samples of task j after task i, nan where j is still to come.

    """

    accuracy: float
    bytes_per_class: float
    seconds: float
    matrix: list[list[float]]


async def learn(course: Course, arm: Arm, seed: int) -> Result:
    """Learn the tasks one after the other, or for `joint` all at once."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded(Path(folder), slice_s=20, cache_bytes=1 << 29) as system:
            await _add(system, course)
            started = time.process_time()
            versions = await _versions(system, course, arm, seed)
            seconds = time.process_time() - started
            kept = sum(fit.size_bytes for fit in await system.store.find(Fitted, limit=100))
            size = kept / sum(map(len, course.tasks))
            matrix = [_row(version, course.tasks) for version in versions]
            return Result(versions[-1].scores.accuracy, size, seconds, matrix)


async def _add(system: System, course: Course) -> None:
    """Store all samples, for scoring and for `joint`, and each task's share of them."""
    splits = course.splits
    await datasets.add(system.store, "all", splits, "all")
    for number, own in enumerate(course.tasks):
        test = splits.test and splits.test.only(own)
        share = Splits(splits.train.only(own), test)
        await datasets.add(system.store, f"task-{number}", share, "task")


async def _versions(system: System, course: Course, arm: Arm, seed: int) -> list[ModelVersion]:
    """Return what came of each task, or for `joint` the one that all came to."""
    common = {
        "model": "m",
        "probe": "all",
        "architecture": course.architecture,
        "training": {**course.training, **arm.training},
        "review": {"min_count": 0},
        "seed": seed,
    }
    if arm.joint:
        return [await _job(system, "j-joint", {**common, "new_data": "all"})]
    versions: list[ModelVersion] = []
    for number, _ in enumerate(course.tasks):
        earlier = [name for own in course.tasks[:number] for name in own]
        asked = {"new_data": f"task-{number}", **_rehearsal(arm, earlier)}
        versions.append(await _job(system, f"j-{number}", {**common, **asked}))
        common["architecture"] = None  # of the first version only
    return versions


def _rehearsal(arm: Arm, earlier: list[str]) -> dict[str, object]:
    """Return what an arm asks for beyond plain training."""
    if arm.generator is None:
        return {}
    return {
        "generator": arm.generator,
        "classes": earlier,
        "options": arm.options,
        "count": arm.count,
        "filter": {"min_confidence": arm.min_confidence},
        "labels": {"kind": arm.labels},
    }


async def _job(system: System, key: str, asked: Mapping[str, object]) -> ModelVersion:
    await system.start(key, RehearsalSpec.model_validate(asked))
    job = await system.over(key, within_s=3600)
    if job.state != "completed":
        raise SystemExit(f"{key} ended {job.state}: {job.reason}")
    return await system.store.get(ModelVersion, str(job.result))


def _row(version: ModelVersion, tasks: Sequence[tuple[str, ...]]) -> list[float]:
    scores = version.scores.per_class
    return [float(np.mean([scores.get(name, np.nan) for name in own])) for own in tasks]


def save(splits: Splits, path: Path) -> None:
    """Write both splits as a file that `rdg data add` reads."""
    train, test = splits.train, splits.test or splits.train
    np.savez(
        path,
        x_train=train.samples,
        y_train=train.labels,
        x_test=test.samples,
        y_test=test.labels,
        classes=np.array(train.classes),
    )


def show(title: str, results: Mapping[str, Sequence[Result]]) -> None:
    """Print a row for each arm of benchmarks/arms.py: mean and spread over its runs."""
    columns = ("arm", "accuracy %", "KB/class", "CPU s", "runs")
    table(title, columns, [_shown(arm, runs) for arm, runs in results.items()])


def _shown(arm: str, runs: Sequence[Result]) -> list[object]:
    accuracy = [100 * run.accuracy for run in runs]
    kept = np.mean([run.bytes_per_class for run in runs]) / 1024
    seconds = float(np.mean([run.seconds for run in runs]))
    shown = f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f}"
    size = "all" if ARMS[arm].joint else f"{kept:.1f}"
    return [arm, shown, size, seconds, len(runs)]
