"""Planning: from a job to the first messages that do it."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from math import prod

from bus.stage import Stage
from schemas.documents import Dataset, Fitted, Job, Model, ModelVersion
from schemas.flow import (
    MAX_SHARDS,
    FittingRequested,
    GenerationRequested,
    GeneratorFitted,
    Order,
    Progress,
    RehearsalRequested,
    TrainingRequested,
)
from schemas.job import FitSpec, RehearsalSpec
from schemas.message import derived_id
from store.base import Store
from store.errors import NotFound
from store.jobs import advance, finish
from workers.resources import Refusal, Resources, report

In = RehearsalRequested | GeneratorFitted
Out = FittingRequested | GenerationRequested | TrainingRequested | Progress

SHARD_BYTES = 512 * 1024
SHARD_SAMPLES = 500


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the planning stage."""
    store = resources.store

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        if isinstance(job.spec, FitSpec):
            steps = _plan_fit(store, job, job.spec, isinstance(message, GeneratorFitted))
        elif isinstance(message, RehearsalRequested):
            steps = _plan(store, job, job.spec)
        else:
            steps = _generate(store, job, job.spec)
        async for step in steps:
            yield step

    return Stage(
        "planning",
        consumes=(RehearsalRequested, GeneratorFitted),
        produces=(FittingRequested, GenerationRequested, TrainingRequested, Progress),
        handle=resources.on_jobs("planning", handle),
    )


def first_slice(job: Job) -> TrainingRequested:
    """Return the start of a job's training; its id is the same whoever asks."""
    return TrainingRequested(id=derived_id(job.run, "training"), job=job.id)


async def _plan_fit(store: Store, job: Job, spec: FitSpec, is_fitted: bool) -> AsyncIterator[Out]:
    if not is_fitted:
        job = await advance(store, job, "fitting")
        yield FittingRequested(job=job.id, generator=spec.generator)
        yield report(job, "planning")
        return
    if spec.delete_originals:
        await _delete_originals(store, await store.get(Fitted, fitted_id(job)))
    yield report(await finish(store, job, "completed", result=fitted_id(job)), "planning")


async def _delete_originals(store: Store, fitted: Fitted) -> None:
    """Delete the data that was fitted, unless other data has taken its name meanwhile."""
    with suppress(NotFound):
        dataset = await store.get(Dataset, fitted.data)
        if dataset.digests != fitted.data_digests:
            return
        await store.delete(Dataset, dataset.id)  # first: no document is left without its samples
    await store.drop_parts(f"data/{fitted.data}")


def fitted_id(job: Job) -> str:
    """Return the id of what a job's fitting makes."""
    return f"{job.spec.generator}-{job.id}-{job.attempt}"


async def _plan(store: Store, job: Job, spec: RehearsalSpec) -> AsyncIterator[Out]:
    base = await _base(store, spec)
    if spec.generator and spec.fit_new:
        job = await advance(store, job, "fitting", base=base)
        yield FittingRequested(job=job.id, generator=spec.generator)
        yield report(job, "planning")
    else:
        async for step in _generate(store, job.model_copy(update={"base": base}), spec):
            yield step


async def _base(store: Store, spec: RehearsalSpec) -> int | None:
    """Return the version that the job starts from; None if there is none yet."""
    if spec.base is not None:
        return (await store.get(ModelVersion, f"{spec.model}@{spec.base}")).number
    try:
        return (await store.get(Model, spec.model)).released
    except NotFound:
        return None


async def _generate(store: Store, job: Job, spec: RehearsalSpec) -> AsyncIterator[Out]:
    earlier = await _to_rehearse(store, job, spec)
    if not earlier:
        job = await advance(store, job, "training", base=job.base)
        yield first_slice(job)
        yield report(job, "planning")
        return
    own = await _own_fit(store, job, spec)
    known = await _fitted_by_class(store, job, spec, own)
    wanted = list(dict.fromkeys((*earlier, *(own.classes if own else ()))))
    if missing := [name for name in wanted if name not in known]:
        raise Refusal(
            f"classes: no {spec.generator} generator of model {spec.model} was fitted for "
            f"{', '.join(missing)}; fit one with `rdg generator fit` while their data exists"
        )
    orders = _orders(spec, [known[name] for name in wanted], wanted)
    fitted = {name: known[name].id for name in wanted}
    job = await advance(store, job, "generating", fitted=fitted, base=job.base)
    for order in orders:
        yield GenerationRequested(job=job.id, order=order)
    yield report(job, "planning", 0, len(orders))


async def _to_rehearse(store: Store, job: Job, spec: RehearsalSpec) -> tuple[str, ...]:
    """Return the classes asked for; with a generator and none named, all that the model knows."""
    if spec.classes or spec.generator is None or job.base is None:
        return spec.classes
    return (await store.get(ModelVersion, f"{spec.model}@{job.base}")).classes


async def _own_fit(store: Store, job: Job, spec: RehearsalSpec) -> Fitted | None:
    return await store.get(Fitted, fitted_id(job)) if spec.fit_new else None


async def _fitted_by_class(
    store: Store, job: Job, spec: RehearsalSpec, own: Fitted | None
) -> dict[str, Fitted]:
    """Return each class's fit: the one that was chosen before, the job's own, or the newest."""
    if job.fitted:
        fits = {key: await store.get(Fitted, key) for key in set(job.fitted.values())}
        return {name: fits[key] for name, key in job.fitted.items()}
    newest_first = await store.find(Fitted, model=job.model, limit=1000)
    ours_last = [*reversed(newest_first), *([own] if own else [])]
    return {
        name: fit for fit in ours_last if fit.generator == spec.generator for name in fit.classes
    }


def _orders(spec: RehearsalSpec, fits: Sequence[Fitted], targets: Sequence[str]) -> list[Order]:
    """Cut what is asked for into shards; who works on them, and how many, changes nothing in them."""
    pieces = [
        (fit, target, count, index)
        for fit, target in zip(fits, targets, strict=True)
        for index, count in enumerate(_shard_sizes(spec.count, fit))
    ]
    if len(pieces) > MAX_SHARDS:
        raise Refusal(f"count: {len(pieces)} shards, at most {MAX_SHARDS}; ask for fewer samples")
    return [
        Order(
            shard=shard,
            shards=len(pieces),
            generator=fit.generator,
            fitted=fit.id,
            target=target,
            count=count,
            seed=_seed(spec.seed, target, index),
            options=spec.options,
        )
        for shard, (fit, target, count, index) in enumerate(pieces)
    ]


def _shard_sizes(count: int, fit: Fitted) -> list[int]:
    sample_bytes = prod(fit.shape) * (1 if fit.dtype == "uint8" else 4)
    size = max(1, min(SHARD_SAMPLES, SHARD_BYTES // sample_bytes))
    return [min(size, count - start) for start in range(0, count, size)]


def _seed(seed: int, target: str, index: int) -> int:
    text = f"{seed}/{target}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")
