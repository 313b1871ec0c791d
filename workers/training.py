"""Training: the model learns the new data while it rehearses the old, one slice per message."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bus.stage import Stage
from learning import generators
from learning.architecture import default
from learning.bundle import pack
from learning.inference import predict
from learning.labels import soften
from learning.metrics import accuracy_per_class
from learning.problem import Examples, Options, Problem, validation_split
from schemas.documents import Dataset, Job, ModelVersion, RehearsalSet
from schemas.flow import ModelTrained, Progress, TrainingRequested
from schemas.job import RehearsalSpec
from schemas.model import VALIDATION, PartRef, Scores
from schemas.names import work_of
from store.base import Store
from store.jobs import advance
from workers.datasets import pinned, read_parts
from workers.models import LoadedModel, load_model
from workers.resources import Refusal, Resources, report
from workers.slices import Superseded, leave, repeated, take

Out = TrainingRequested | ModelTrained | Progress
Weights = Mapping[str, NDArray[Any]]


def stage(resources: Resources) -> Stage[TrainingRequested, Out]:
    """Return the training stage."""
    store = resources.store

    async def handle(job: Job, message: TrainingRequested) -> AsyncIterator[Out]:
        try:
            checkpoint = await take(store, job, message)
            lesson = await _prepare(store, job)
            reached = await asyncio.to_thread(_slice, lesson, checkpoint, resources.due())
            if reached.result is None:
                yield await leave(store, job, message, reached.checkpoint)
            else:
                job = await advance(store, job, "releasing")
                yield await _candidate(store, job, lesson, reached.result)
            yield report(job, "training", reached.progress * 100, 100)
        except Superseded:
            for again in repeated(job, message):
                yield again

    return Stage(
        "training",
        consumes=(TrainingRequested,),
        produces=(TrainingRequested, ModelTrained, Progress),
        handle=resources.on_jobs("training", handle),
        prefetch=1,  # it holds a data set and a core
    )


@dataclass(frozen=True)
class Lesson:
    """All that a slice needs to know."""

    problem: Problem
    options: Options
    seed: int
    classes: tuple[str, ...]
    base: LoadedModel | None


@dataclass(frozen=True)
class Reached:
    """Where a slice ended; `result` holds the parameters once training is done."""

    checkpoint: Weights
    progress: float
    result: Weights | None


def _slice(lesson: Lesson, checkpoint: Weights | None, due: Callable[[], bool]) -> Reached:
    from learning import training  # brings torch, which only a process that trains should load

    problem, options, seed = lesson.problem, lesson.options, lesson.seed
    try:
        begun = training.begin(problem, options, seed) if checkpoint is None else checkpoint
        after = training.advance(problem, begun, options, seed, due)
    except (ValueError, FloatingPointError) as error:
        raise Refusal(f"training: {error}") from error
    is_done = training.is_done(after, options)
    return Reached(
        after, training.progress(after, options), training.result(after) if is_done else None
    )


async def _prepare(store: Store, job: Job) -> Lesson:
    spec = job.rehearsal
    dataset = await pinned(store, job, spec.new_data)
    base = None if job.base is None else await load_model(store, job.model, job.base)
    if base:
        _check_fits(dataset, base.version)
    new_names = spec.new_classes or dataset.classes
    known = base.version.classes if base else ()
    classes = tuple(dict.fromkeys((*known, *job.fitted, *new_names)))
    new = await _new_examples(store, spec, dataset, new_names, classes, base)
    rehearsal = await _rehearsal_examples(store, job, classes)
    try:
        problem = Problem(
            architecture=_architecture(spec, base, dataset),
            shape=dataset.shape,
            n_classes=len(classes),
            new=new,
            rehearsal=rehearsal,
            base=base.parameters if base and not spec.from_scratch else None,
            new_classes=tuple(i for i, name in enumerate(classes) if name not in known),
        )
    except ValueError as error:
        raise Refusal(f"training: {error}") from error
    return Lesson(problem, _options(spec, problem), spec.seed, classes, base)


def _check_fits(dataset: Dataset, version: ModelVersion) -> None:
    if (version.shape, version.dtype) != (dataset.shape, dataset.dtype):
        raise Refusal(
            f"new_data: {dataset.id} has {dataset.dtype} samples of {dataset.shape}, "
            f"{version.id} takes {version.dtype} of {version.shape}"
        )


def _architecture(spec: RehearsalSpec, base: LoadedModel | None, dataset: Dataset) -> str:
    """Return the base's layers; for fresh weights those asked for, or the default of the shape."""
    if base and not spec.from_scratch:
        return base.version.architecture
    return spec.architecture or default(dataset.shape)


async def _new_examples(
    store: Store,
    spec: RehearsalSpec,
    dataset: Dataset,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    base: LoadedModel | None,
) -> Examples:
    samples, labels = await read_parts(store, dataset.train, names)
    order = np.array([classes.index(name) for name in names])
    teacher = None
    if spec.training.distillation and base:
        teacher = await asyncio.to_thread(base.predict, samples)
    return Examples(samples, order[labels], teacher)


async def _rehearsal_examples(store: Store, job: Job, classes: tuple[str, ...]) -> Examples | None:
    """Return the job's rehearsal set; None for plain training."""
    if not job.fitted:
        return None
    parts, asked = (await store.get(RehearsalSet, job.run)).parts, job.rehearsal
    samples, labels = await read_parts(store, parts, classes)
    rehearsed = Examples(samples, labels)
    is_soft = asked.labels.kind == "soft"
    if job.base is None or not (is_soft or asked.training.distillation):
        return rehearsed
    answers, _ = await read_parts(store, parts, classes, "probabilities")
    return replace(
        rehearsed,
        teacher=answers if asked.training.distillation else None,
        soft=soften(answers, labels, len(classes), asked.labels.soft_weight) if is_soft else None,
    )


def _options(spec: RehearsalSpec, problem: Problem) -> Options:
    asked = spec.training
    loss = _suited_loss(spec, problem) if asked.new_loss == "auto" else asked.new_loss
    try:
        return Options(
            epochs=asked.epochs,
            batch_size=asked.batch_size,
            lr=asked.lr,
            schedule=asked.schedule,
            augmentation=asked.augmentation,
            replay_ratio=asked.replay_ratio,
            new_loss=loss,
            distillation=asked.distillation,
            validation=asked.validation,
            patience=asked.patience,
            calibration=asked.calibration,
        )
    except ValueError as error:
        raise Refusal(f"training: {error}") from error


def _suited_loss(spec: RehearsalSpec, problem: Problem) -> Literal["all", "new"]:
    """Return "new" where synthetic samples of every class, the new ones too, are at hand.

    Then the network cannot tell old from new by what gives synthetic samples away. Stored originals give nothing
    away. A search counts as well: of a class that the model does not know it gives unfiltered what it bred without a
    score to go by.
    """
    if spec.generator is None or generators.load(spec.generator).trusted:
        return "all"
    rehearsed = set(problem.replay.labels.tolist())
    return "new" if set(problem.new.labels.tolist()) <= rehearsed else "all"


async def _candidate(store: Store, job: Job, lesson: Lesson, result: Weights) -> ModelTrained:
    """Store the candidate's parts and score it beside the version that it came from."""
    parts = []
    for name in ("backbone", "head"):
        data = pack({key: array for key, array in result.items() if key.startswith(f"{name}.")})
        digest = await store.put_part(data, work_of(job.run))
        parts.append(PartRef(name=name, digest=digest, size_bytes=len(data)))
    measured_on, samples, labels = await _held_out(store, job, lesson)
    scores, before = await asyncio.to_thread(_score, lesson, result, measured_on, samples, labels)
    return ModelTrained(
        job=job.id,
        base=job.base,
        architecture=lesson.problem.architecture,
        classes=lesson.classes,
        parts=tuple(parts),
        scores=scores,
        before=before,
    )


async def _held_out(
    store: Store, job: Job, lesson: Lesson
) -> tuple[str, NDArray[Any], NDArray[np.int64]]:
    """Return what to score on: the probe's test split, or what training held out."""
    if job.rehearsal.probe:
        probe = await pinned(store, job, job.rehearsal.probe)
        samples, labels = await read_parts(store, probe.test, lesson.classes)
        return probe.id, samples, labels
    problem = lesson.problem
    split = await asyncio.to_thread(validation_split, problem, lesson.options, lesson.seed)
    new = problem.new.take(split.validation_new)
    old = problem.replay.take(split.validation_rehearsal)
    if not len(new) + len(old):
        raise Refusal(
            "new_data: two different samples of a class are needed to score on one; add some, or name a probe"
        )
    return (
        VALIDATION,
        np.concatenate([new.samples, old.samples]),
        np.concatenate([new.labels, old.labels]),
    )


def _score(
    lesson: Lesson,
    result: Weights,
    measured_on: str,
    samples: NDArray[Any],
    labels: NDArray[np.int64],
) -> tuple[Scores, Scores | None]:
    after = predict(lesson.problem.architecture, result, samples)
    scores = _scores(measured_on, lesson.classes, labels, after)
    if lesson.base is None:
        return scores, None
    known = labels < len(lesson.base.version.classes)
    if not known.any():
        return scores, None
    before = lesson.base.predict(samples[known])
    return scores, _scores(measured_on, lesson.base.version.classes, labels[known], before)


def _scores(
    measured_on: str,
    classes: tuple[str, ...],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
) -> Scores:
    predicted = probabilities.argmax(axis=1)
    per_class = accuracy_per_class(labels, predicted, len(classes))
    return Scores(
        measured_on=measured_on,
        accuracy=float((predicted == labels).mean()),
        per_class={
            name: float(share)
            for name, share in zip(classes, per_class, strict=True)
            if np.isfinite(share)
        },
    )
