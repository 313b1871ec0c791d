"""Fitting: a generator learns a task from its real data, in slices, and is stored.

In a rehearsal job it learns what training will learn, not the samples by which training is judged: both hold out the
same (`held_out` of learning/problem.py). A fit that is its own job learns all, and so does a private one.

While the data is still there, what sets will be compared with is kept beside it, and the generator is evaluated: unless
the fit is private, which it would not be together with figures of the same data that have no noise in them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bus.stage import Stage
from learning import generators
from learning.bundle import pack
from learning.evaluation import Evaluation, evaluate
from learning.generators.base import Arrays, Fit, Order, Task
from learning.problem import held_out
from learning.reference import Reference
from schemas.documents import Dataset, Fitted, Job, SamplePart
from schemas.flow import FittingRequested, GeneratorFitted, Progress
from schemas.job import FitSpec
from schemas.model import GeneratorQuality, PartRef
from store.base import Store
from store.errors import NotFound
from workers.datasets import pinned, read_parts
from workers.resources import Refusal, Resources, report
from workers.slices import Superseded, leave, repeated, take

Out = FittingRequested | GeneratorFitted | Progress

log = logging.getLogger("rdg.worker")


def stage(resources: Resources) -> Stage[FittingRequested, Out]:
    """Return the fitting stage."""
    store = resources.store

    async def handle(job: Job, message: FittingRequested) -> AsyncIterator[Out]:
        try:
            yield GeneratorFitted(job=job.id, fitted=(await store.get(Fitted, job.own_fit)).id)
            return  # a repeat: the fit is kept, and its data may be gone
        except NotFound:
            pass
        try:
            checkpoint = await take(store, job, message)
            material = await _material(store, job, message.generator)
            fit = await _slice(resources, job, message.generator, material.task, checkpoint)
            if fit.progress < 1:
                yield await leave(store, job, message, fit.state)
                yield report(job, "fitting", fit.progress * 100, 100)
                return
            fitted = await _keep(store, job, message.generator, material, fit)
            yield GeneratorFitted(job=job.id, fitted=fitted.id)
            yield report(job, "fitting", 100, 100, _told(fitted.quality))
        except Superseded:
            for again in repeated(job, message):
                yield again

    return Stage(
        "fitting",
        consumes=(FittingRequested,),
        produces=(FittingRequested, GeneratorFitted, Progress),
        handle=resources.on_jobs("fitting", handle),
        routes=resources.generators,
        prefetch=1,  # it holds a data set and a core
    )


@dataclass(frozen=True)
class _Material:
    """The data that a job fits its generator on: of a data set, some classes, and what is held out of them."""

    dataset: Dataset
    classes: tuple[str, ...]
    task: Task
    held_out: Task | None


async def _material(store: Store, job: Job, generator: str) -> _Material:
    spec = job.spec
    name, classes = (
        (spec.data, spec.classes)
        if isinstance(spec, FitSpec)
        else (spec.new_data, spec.new_classes)
    )
    dataset = await pinned(store, job, name)
    classes = classes or dataset.classes
    task = await _task(store, dataset.train, classes)
    # A private fit learns all: were one sample another, others might be held out, and its proof is for a change of one.
    if isinstance(spec, FitSpec) or generators.load(generator).is_private(spec.options):
        return _Material(dataset, classes, task, None)
    share = spec.training.validation
    held = await asyncio.to_thread(held_out, task.samples, task.labels, share, spec.seed)
    return _Material(
        dataset, classes, _rows(task, ~held), _rows(task, held) if held.any() else None
    )


def _rows(task: Task, chosen: NDArray[np.bool_]) -> Task:
    return Task(task.samples[chosen], task.labels[chosen], task.n_classes)


async def _task(store: Store, parts: Sequence[SamplePart], classes: Sequence[str]) -> Task:
    samples, labels = await read_parts(store, parts, classes)
    return Task(samples, labels, len(classes))


async def _slice(
    resources: Resources, job: Job, name: str, task: Task, checkpoint: Arrays | None
) -> Fit:
    generator = generators.load(name)
    try:
        return await asyncio.to_thread(
            generator.fit, task, job.spec.options, job.spec.seed, checkpoint, resources.due()
        )
    except ValueError as error:
        raise Refusal(f"fitting {generator.name}: {error}") from error


async def _keep(store: Store, job: Job, name: str, material: _Material, fit: Fit) -> Fitted:
    """Store the generator and what is measured of it and of its data.

    A worker that is killed in between leaves parts that the repeat does not name, unless it makes the same bytes.
    """
    key, dataset = job.own_fit, material.dataset
    state = pack(fit.state)
    is_private = generators.load(name).is_private(job.spec.options)
    quality = None if is_private else await _quality(store, job, name, material, fit)
    fitted = Fitted(
        id=key,
        model=job.model,
        job=job.id,
        generator=name,
        data=dataset.id,
        shape=dataset.shape,
        dtype=dataset.dtype,
        classes=material.classes,
        options=job.spec.options,
        seed=job.spec.seed,
        data_digests=dataset.digests,
        class_digests=dataset.class_digests,
        digest=await store.put_part(state, f"fitted/{key}"),
        size_bytes=len(state),
        reference=None if is_private else await _reference(store, material.task, f"fitted/{key}"),
        quality=quality,
    )
    await store.insert(fitted)
    return fitted


async def _reference(store: Store, task: Task, owner: str) -> PartRef:
    reference = await asyncio.to_thread(Reference.of, task)
    data = pack(reference.arrays())
    digest = await store.put_part(data, owner)
    return PartRef(name="reference", digest=digest, size_bytes=len(data))


async def _quality(
    store: Store, job: Job, name: str, material: _Material, fit: Fit
) -> GeneratorQuality | None:
    """Return the figures of the fit; None for a search. They are of the test split, where there is one."""
    test, classes = material.dataset.test, material.classes
    has_test = any(part.target in classes and part.count for part in test)
    unseen = await _task(store, test, classes) if has_test else material.held_out
    order = Order(fit.state, 0, 1, job.spec.seed, job.spec.options)
    try:
        found = await asyncio.to_thread(
            evaluate, generators.load(name), order, material.task, unseen
        )
    except ValueError as error:
        raise Refusal(f"sampling from {name} once it was fitted: {error}") from error
    if found and found.memorises:
        log.warning("generator %s of job %s memorises its data: %s", name, job.id, found.closeness)
    return _described(found) if found else None


def _described(found: Evaluation) -> GeneratorQuality:
    return GeneratorQuality(
        accuracy=found.accuracy,
        accuracy_real=found.accuracy_real,
        memorises=found.memorises,
        **vars(found.closeness),
    )


def _told(quality: GeneratorQuality | None) -> str:
    """Return a generator's figures in words; nothing if it was not evaluated."""
    if quality is None:
        return ""
    words = []
    if quality.accuracy is not None and quality.accuracy_real is not None:
        words.append(f"teaches {quality.accuracy:.1%} (real samples {quality.accuracy_real:.1%})")
    words.append(f"{quality.copies:.0%} copies (real samples {quality.copies_real:.0%})")
    if quality.memorises:
        words.append("it memorises its data")
    return ", ".join(words)
