"""Fitting: a generator learns a task from its real data, in slices, and is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from bus.stage import Stage
from learning import generators
from learning.bundle import pack
from learning.generators.base import Arrays, Fit, Task
from schemas.documents import Dataset, Fitted, Job
from schemas.flow import FittingRequested, GeneratorFitted, Progress
from schemas.job import FitSpec
from store.errors import NotFound
from workers.datasets import read_parts
from workers.planning import fitted_id
from workers.resources import Refusal, Resources, report
from workers.slices import Superseded, leave, repeated, take

Out = FittingRequested | GeneratorFitted | Progress


def stage(resources: Resources) -> Stage[FittingRequested, Out]:
    """Return the fitting stage."""
    store = resources.store

    async def handle(job: Job, message: FittingRequested) -> AsyncIterator[Out]:
        try:
            yield GeneratorFitted(job=job.id, fitted=(await store.get(Fitted, fitted_id(job))).id)
            return  # a repeat: the fit is kept, and its data may be gone
        except NotFound:
            pass
        try:
            checkpoint = await take(store, job, message)
            dataset, classes = await _source(resources, job)
            fit = await _slice(resources, job, message.generator, dataset, classes, checkpoint)
            if fit.progress < 1:
                yield await leave(store, job, message, fit.state)
            else:
                yield await _keep(resources, job, message.generator, dataset, classes, fit)
            yield report(job, "fitting", fit.progress * 100, 100)
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


async def _source(resources: Resources, job: Job) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set to fit on, and which of its classes."""
    spec = job.spec
    name, classes = (
        (spec.data, spec.classes)
        if isinstance(spec, FitSpec)
        else (spec.new_data, spec.new_classes)
    )
    dataset = await resources.store.get(Dataset, name)
    return dataset, classes or dataset.classes


async def _slice(
    resources: Resources,
    job: Job,
    name: str,
    dataset: Dataset,
    classes: Sequence[str],
    checkpoint: Arrays | None,
) -> Fit:
    generator = generators.load(name)
    samples, labels = await read_parts(resources.store, dataset.train, classes)
    task = Task(samples, labels, len(classes))
    try:
        return await asyncio.to_thread(
            generator.fit, task, job.spec.options, job.spec.seed, checkpoint, resources.due()
        )
    except ValueError as error:
        raise Refusal(f"fitting {generator.name}: {error}") from error


async def _keep(
    resources: Resources, job: Job, name: str, dataset: Dataset, classes: Sequence[str], fit: Fit
) -> GeneratorFitted:
    state = pack(fit.state)
    key = fitted_id(job)
    fitted = Fitted(
        id=key,
        model=job.model,
        job=job.id,
        generator=name,
        data=dataset.id,
        shape=dataset.shape,
        dtype=dataset.dtype,
        classes=tuple(classes),
        options=job.spec.options,
        seed=job.spec.seed,
        data_digests=dataset.digests,
        digest=await resources.store.put_part(state, f"fitted/{key}"),
        size_bytes=len(state),
    )
    await resources.store.insert(fitted)
    return GeneratorFitted(job=job.id, fitted=key)
