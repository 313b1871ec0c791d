"""Planning: from a job to the first messages that do it.

At most `active_jobs` jobs are under way; one more waits here for its turn, in the queue that it was submitted to, which
in the end refuses more (Busy). A request for a job that is under way asks again for what has not arrived, in case it
was lost. What the job's data sets hold is pinned here (workers/datasets.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from bus.errors import Busy
from bus.stage import Stage
from schemas.documents import Dataset, Fitted, Job, JobState, Model, ModelVersion
from schemas.flow import (
    FittingRequested,
    GenerationRequested,
    GeneratorFitted,
    Progress,
    RehearsalRequested,
    TrainingRequested,
)
from schemas.job import FitSpec, RehearsalSpec
from schemas.message import derived_id
from store.base import Store
from store.errors import NotFound
from store.fits import fits_by_class
from store.jobs import advance, finish
from workers.datasets import pin
from workers.resources import Refusal, Resources, report
from workers.shards import Plan, chosen_fits, unarrived

In = RehearsalRequested | GeneratorFitted
Out = FittingRequested | GenerationRequested | TrainingRequested | Progress

SUBMITTED_LIMIT = 10_000
UNDER_WAY: tuple[JobState, ...] = ("fitting", "generating", "training", "releasing")
LOOK_S = 0.25


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the planning stage."""
    store = resources.store

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        if job.state == "submitted":
            await _turn(resources)
            job = job.model_copy(update={"data": await pin(store, job)})
        if isinstance(job.spec, FitSpec):
            steps = _plan_fit(store, job, job.spec, isinstance(message, GeneratorFitted))
        elif isinstance(message, RehearsalRequested):
            steps = _plan(resources, job, job.spec, message)
        else:
            steps = _generate(resources, job, job.spec, message)
        async for step in steps:
            yield step

    return Stage(
        "planning",
        consumes=(RehearsalRequested, GeneratorFitted),
        produces=(FittingRequested, GenerationRequested, TrainingRequested, Progress),
        handle=resources.on_jobs("planning", handle),
        limit=SUBMITTED_LIMIT,
    )


def first_slice(job: Job) -> TrainingRequested:
    """Return the start of a job's training; its id is the same whoever asks."""
    return TrainingRequested(id=derived_id(job.run, "training"), job=job.id)


async def _turn(resources: Resources) -> None:
    """Wait until another job may begin; after a while raise Busy, which puts the message to its queue's end."""
    end = time.monotonic() + resources.turn_s
    while await _under_way(resources.store) >= resources.active_jobs:
        if time.monotonic() >= end:
            raise Busy(f"{resources.active_jobs} jobs are under way, as many as may")
        await asyncio.sleep(LOOK_S)


async def _under_way(store: Store) -> int:
    return sum([await store.count(Job, state=state) for state in UNDER_WAY])


async def _plan_fit(store: Store, job: Job, spec: FitSpec, is_fitted: bool) -> AsyncIterator[Out]:
    if not is_fitted:
        job = await advance(store, job, "fitting", data=job.data)
        yield FittingRequested(job=job.id, generator=spec.generator)
        yield report(job, "planning")
        return
    if spec.delete_originals:
        await _delete_originals(store, await store.get(Fitted, job.own_fit))
    yield report(await finish(store, job, "completed", result=job.own_fit), "planning")


async def _delete_originals(store: Store, fitted: Fitted) -> None:
    """Delete the data that was fitted, unless other data has taken its name meanwhile."""
    with suppress(NotFound):
        dataset = await store.get(Dataset, fitted.data)
        if dataset.digests != fitted.data_digests:
            return
        await store.delete(Dataset, dataset.id)  # first: no document is left without its samples
    await store.drop_parts(f"data/{fitted.data}")


async def _plan(
    resources: Resources, job: Job, spec: RehearsalSpec, message: In
) -> AsyncIterator[Out]:
    store = resources.store
    base = await _base(store, spec) if job.state == "submitted" else job.base
    if spec.generator and spec.fit_new:
        job = await advance(store, job, "fitting", base=base, data=job.data)
        yield FittingRequested(job=job.id, generator=spec.generator)
        yield report(job, "planning")
    else:
        job = job.model_copy(update={"base": base})
        async for step in _generate(resources, job, spec, message):
            yield step


async def _base(store: Store, spec: RehearsalSpec) -> int | None:
    """Return the version that the job starts from; None if there is none yet."""
    if spec.base is not None:
        return (await store.get(ModelVersion, f"{spec.model}@{spec.base}")).number
    try:
        return (await store.get(Model, spec.model)).released
    except NotFound:
        return None


async def _generate(
    resources: Resources, job: Job, spec: RehearsalSpec, message: In
) -> AsyncIterator[Out]:
    store = resources.store
    earlier = await _to_rehearse(store, job, spec)
    if not earlier:
        job = await advance(store, job, "training", base=job.base, data=job.data)
        yield first_slice(job)
        yield report(job, "planning")
        return
    run, fitted = job.run, job.fitted or await _choose(store, job, spec, earlier)
    job = await advance(store, job, "generating", fitted=fitted, base=job.base, data=job.data)
    if (job.run, job.state) != (run, "generating"):
        return
    # Another delivery may have been first, and have chosen others: all ask for the shards of one plan.
    plan = Plan.of(spec, await chosen_fits(store, job))
    arrived = await store.arrived(job.run)
    for shard in unarrived(plan.shards, resources.window, arrived):
        # The id is new with each request: one for what was lost is not taken for a repeat on the way.
        key = derived_id(message.id, "shard", shard)
        yield GenerationRequested(id=key, job=job.id, order=plan.order(shard, resources.window))
    yield report(job, "planning", len(arrived), plan.shards)


async def _to_rehearse(store: Store, job: Job, spec: RehearsalSpec) -> tuple[str, ...]:
    """Return the classes asked for; with a generator and none named, all that the model knows."""
    if spec.classes or spec.generator is None or job.base is None:
        return spec.classes
    return (await store.get(ModelVersion, f"{spec.model}@{job.base}")).classes


async def _choose(
    store: Store, job: Job, spec: RehearsalSpec, earlier: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the fits of each class to rehearse, oldest first: those asked for, then those of the job's own fit."""
    own = await store.get(Fitted, job.own_fit) if spec.fit_new else None
    wanted = dict.fromkeys((*earlier, *(own.classes if own else ())))
    known = await fits_by_class(store, spec, wanted, own)
    if missing := [name for name in wanted if name not in known]:
        raise Refusal(
            f"classes: no {spec.generator} generator of model {spec.model} was fitted for "
            f"{', '.join(missing)}; fit one with `rdg generator fit` while their data exists"
        )
    return {name: tuple(fit.id for fit in known[name]) for name in wanted}
