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
    """Accuracy on the test samples of all classes; bytes that generators keep of a class; CPU time of all stages."""

    accuracy: float
    bytes_per_class: float
    seconds: float


async def learn(course: Course, arm: Arm, seed: int) -> Result:
    """Learn the tasks one after the other, or for `joint` all at once."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded(Path(folder), slice_s=20, cache_bytes=1 << 29) as system:
            await _add(system, course)
            started = time.process_time()
            version = await _last_version(system, course, arm, seed)
            seconds = time.process_time() - started
            kept = sum(fit.size_bytes for fit in await system.store.find(Fitted, limit=100))
            return Result(version.scores.accuracy, kept / sum(map(len, course.tasks)), seconds)


async def _add(system: System, course: Course) -> None:
    """Store all samples, for scoring and for `joint`, and each task's share of them."""
    splits = course.splits
    await datasets.add(system.store, "all", splits, "all")
    for number, own in enumerate(course.tasks):
        test = splits.test and splits.test.only(own)
        share = Splits(splits.train.only(own), test)
        await datasets.add(system.store, f"task-{number}", share, "task")


async def _last_version(system: System, course: Course, arm: Arm, seed: int) -> ModelVersion:
    common = {
        "model": "m",
        "probe": "all",
        "architecture": course.architecture,
        "training": {**course.training, **arm.training},
        "review": {"min_count": 0},
        "seed": seed,
    }
    if arm.joint:
        return await _job(system, "j-joint", {**common, "new_data": "all"})
    for number, _ in enumerate(course.tasks):
        earlier = [name for own in course.tasks[:number] for name in own]
        asked = {"new_data": f"task-{number}", **_rehearsal(arm, earlier)}
        version = await _job(system, f"j-{number}", {**common, **asked})
        common["architecture"] = None  # of the first version only
    return version


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
    }


async def _job(system: System, key: str, asked: Mapping[str, object]) -> ModelVersion:
    await system.start(key, RehearsalSpec.model_validate(asked))
    job = await system.over(key, within_s=3600)
    if job.state != "completed":
        raise SystemExit(f"{key} ended {job.state}: {job.reason}")
    return await system.store.get(ModelVersion, str(job.result))


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
    table(title, columns, [_row(arm, runs) for arm, runs in results.items()])


def _row(arm: str, runs: Sequence[Result]) -> list[object]:
    accuracy = [100 * run.accuracy for run in runs]
    kept = np.mean([run.bytes_per_class for run in runs]) / 1024
    seconds = float(np.mean([run.seconds for run in runs]))
    shown = f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f}"
    size = "all" if ARMS[arm].joint else f"{kept:.1f}"
    return [arm, shown, size, seconds, len(runs)]
