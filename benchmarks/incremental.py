"""Learning task after task, through the embedded pipeline, on any samples: what the benchmarks of learning measure."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.arms import ARMS, Arm
from benchmarks.report import table
from control.sources import Labelled, Splits
from control.verbs import datasets
from schemas.documents import Fitted, ModelVersion
from schemas.job import RehearsalSpec
from store.base import Store, each
from tests.pipeline.system import System, embedded
from workers.models import LoadedModel, load_model


@dataclass(frozen=True)
class Course:
    """What is to be learned.

    Attributes:
        tasks: The samples of each task, in the order in which tasks come; a class may be in several. One without
            samples to test on is tested on those it is learned from.
        training: Fields of schemas.job.Training that are not its defaults.
        architecture: Of learning/architecture.py; None is its default for the samples' shape.

    """

    tasks: tuple[Splits, ...]
    training: Mapping[str, object] = field(default_factory=dict)
    architecture: str | None = None


@dataclass(frozen=True)
class Result:
    """What one pass over the tasks gave.

    Attributes:
        accuracy: On the test samples of all tasks, after the last.
        bytes_per_class: That generators keep of a class of one task; what is kept beside them to judge a set by is not
            in it.
        seconds: CPU time of all stages.
        matrix: `[i][j]` is the accuracy on the test samples of task j after task i, nan where j is still to come.

    """

    accuracy: float
    bytes_per_class: float
    seconds: float
    matrix: list[list[float]]


def by_class(splits: Splits, tasks: Sequence[Sequence[str]]) -> tuple[Splits, ...]:
    """Return the samples of each task, which is some of the classes."""
    return tuple(
        Splits(splits.train.only(own), splits.test and splits.test.only(own)) for own in tasks
    )


async def learn(course: Course, arm: Arm, seed: int) -> Result:
    """Learn the tasks one after the other, or for `joint` all at once."""
    tasks = (_joined(course.tasks),) if arm.joint else course.tasks
    with tempfile.TemporaryDirectory() as folder:
        async with embedded(Path(folder), slice_s=20, cache_bytes=1 << 29) as system:
            for number, task in enumerate(tasks):
                await datasets.add(system.store, f"task-{number}", task, "task")
            started = time.process_time()
            versions = await _versions(system, replace(course, tasks=tasks), arm, seed)
            seconds = time.process_time() - started
            fits = [fit async for fit in each(system.store, Fitted)]
            matrix = await _matrix(system.store, versions, course.tasks)
    kept = sum(fit.size_bytes for fit in fits) / sum(len(task.train.classes) for task in tasks)
    tested = [len(_test(task).labels) for task in course.tasks]
    return Result(float(np.average(matrix[-1], weights=tested)), kept, seconds, matrix)


def _test(task: Splits) -> Labelled:
    return task.test or task.train


def _joined(tasks: Sequence[Splits]) -> Splits:
    """Return all samples as one task."""
    return Splits(_together([task.train for task in tasks]), _together(list(map(_test, tasks))))


def _together(parts: Sequence[Labelled]) -> Labelled:
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    samples = np.concatenate([part.samples for part in parts])
    return Labelled(samples, np.concatenate([_labels(part, classes) for part in parts]), classes)


def _labels(part: Labelled, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the samples' classes (n,) as positions in `classes`."""
    return np.array([classes.index(name) for name in part.classes])[part.labels]


async def _versions(system: System, course: Course, arm: Arm, seed: int) -> list[ModelVersion]:
    """Return what came of each task."""
    training = {**course.training, **arm.training}
    first = {"architecture": course.architecture, "training": {**training, "distillation": 0.0}}
    later: dict[str, object] = {"training": training}
    if arm.from_scratch:
        later |= {"architecture": course.architecture, "from_scratch": True}
    common = {"model": "m", "review": {"min_count": 0}, "seed": seed}
    earlier: list[str] = []
    versions: list[ModelVersion] = []
    for number, task in enumerate(course.tasks):
        asked = {"new_data": f"task-{number}", **_rehearsal(arm, earlier)}
        suited = later if versions else first  # which has nothing to start from or to distil
        versions.append(await _job(system, f"j-{number}", {**common, **suited, **asked}))
        earlier = list(dict.fromkeys([*earlier, *task.train.classes]))
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
        "fits": arm.fits,
        "filter": {"min_confidence": arm.min_confidence, "min_distance": arm.min_distance},
        "labels": {"kind": arm.labels},
    }


async def _job(system: System, key: str, asked: Mapping[str, object]) -> ModelVersion:
    await system.start(key, RehearsalSpec.model_validate(asked))
    job = await system.over(key, within_s=3600)
    if job.state != "completed":
        raise SystemExit(f"{key} ended {job.state}: {job.reason}")
    return await system.store.get(ModelVersion, str(job.result))


async def _matrix(
    store: Store, versions: Sequence[ModelVersion], tasks: Sequence[Splits]
) -> list[list[float]]:
    """Return the accuracy of each version on each task that it has learned: the last has learned all."""
    rows = []
    for number, version in enumerate(versions, 1 + len(tasks) - len(versions)):
        model = await load_model(store, version.model, version.number)
        learned = [_accuracy(model, _test(task)) for task in tasks[:number]]
        rows.append(learned + [nan] * (len(tasks) - number))
    return rows


def _accuracy(model: LoadedModel, test: Labelled) -> float:
    answers = model.predict(test.samples).argmax(axis=1)
    return float(np.mean(answers == _labels(test, model.version.classes)))


def save(splits: Splits, path: Path) -> None:
    """Write both splits as a file that `rdg data add` reads."""
    train, test = splits.train, _test(splits)
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
