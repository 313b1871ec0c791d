"""Collection: shards come in, in any order and perhaps twice; the last one makes the rehearsal set.

Each that comes asks for the next of its lane (workers/shards.py), under an id that follows from the attempt and the
shard: whoever repeats an arrival repeats the request, and nobody makes a second one.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from math import ceil

import numpy as np
from pydantic import BaseModel, Field

from bus.stage import Stage
from learning.bundle import pack
from learning.quality import measure
from schemas.documents import Job, RehearsalSet, SamplePart
from schemas.flow import GenerationRequested, Order, Progress, RehearsalSetReady, SamplesLabelled
from schemas.job import Rejections
from schemas.message import derived_id
from schemas.names import set_of
from store.base import Store, change
from store.jobs import advance
from workers.resources import Resources, report
from workers.shards import Plans

Out = GenerationRequested | RehearsalSetReady | Progress

REPORTS = 100  # of a job, at most about as many: each goes to every watcher


class Shard(BaseModel):
    """What the gate keeps of a shard: sound, for what it has once it never gives back."""

    part: SamplePart
    rejected: Rejections
    confidence: float = Field(ge=0, le=1)  # mean
    diversity: float = Field(ge=0, allow_inf_nan=False)  # mean distance to the nearest other sample


def stage(resources: Resources) -> Stage[SamplesLabelled, Out]:
    """Return the collection stage."""
    store, plans = resources.store, Plans(resources.store)

    async def handle(job: Job, message: SamplesLabelled) -> AsyncIterator[Out]:
        order = message.order
        shard = await _keep(store, job, message)
        arrivals = await store.arrive(job.run, order.shard, shard.model_dump_json(), order.shards)
        if order.shard + order.window < order.shards and arrivals.values is None:
            yield await _next(plans, job, order)
        if arrivals.values is not None or arrivals.count % ceil(order.shards / REPORTS) == 0:
            yield report(job, "collection", arrivals.count, order.shards)
        if arrivals.values is not None:
            yield await _collect(store, job, order.generator, arrivals.values)

    return Stage(
        "collection",
        consumes=(SamplesLabelled,),
        produces=(GenerationRequested, RehearsalSetReady, Progress),
        handle=resources.on_jobs("collection", handle),
    )


async def _next(plans: Plans, job: Job, order: Order) -> GenerationRequested:
    """Return the request for the shard that comes after this one in its lane."""
    shard = order.shard + order.window
    plan = await plans.of(job)
    return GenerationRequested(
        id=derived_id(job.run, "shard", shard), job=job.id, order=plan.order(shard, order.window)
    )


async def _keep(store: Store, job: Job, message: SamplesLabelled) -> Shard:
    """Store a shard's samples and return the figures that the set is judged by."""
    arrays = {
        "samples": message.samples,
        "probabilities": message.probabilities,
        "confidence": message.confidence,
    }
    data = pack(arrays)
    part = SamplePart(
        target=message.order.target,
        count=len(message.samples),
        digest=await store.put_part(data, set_of(job.run)),
        size_bytes=len(data),
    )
    confidence, diversity = await asyncio.to_thread(_figures, message)
    return Shard(part=part, rejected=message.rejected, confidence=confidence, diversity=diversity)


def _figures(message: SamplesLabelled) -> tuple[float, float]:
    if not len(message.samples):
        return 0.0, 0.0
    labels = np.zeros(len(message.samples), np.int64)
    quality = measure(message.samples, labels, message.confidence)
    return float(message.confidence.mean()), quality.diversity


async def _collect(
    store: Store, job: Job, generator: str, values: Sequence[str]
) -> RehearsalSetReady:
    """Store the set and return the news of it, under an id of its own: any arrival may be the last."""
    collected, rejected = await asyncio.to_thread(_set_of, job, generator, values)
    await store.insert(collected)
    await change(store, Job, job.id, lambda now: now.model_copy(update={"rejected": rejected}))
    await advance(store, job, "reviewing")
    return RehearsalSetReady(
        id=derived_id(job.run, "set"),
        job=job.id,
        counts=collected.counts,
        mean_confidence=collected.mean_confidence,
        balance=collected.balance,
    )


def _set_of(job: Job, generator: str, values: Sequence[str]) -> tuple[RehearsalSet, dict[str, int]]:
    """Return the set that the gate's values describe, and how many samples were rejected for each reason."""
    shards = [Shard.model_validate_json(value) for value in values]
    by_class: defaultdict[str, list[Shard]] = defaultdict(list)
    for shard in shards:
        by_class[shard.part.target].append(shard)
    counts = {name: sum(each.part.count for each in by_class[name]) for name in job.fitted}
    collected = RehearsalSet(
        id=job.run,
        job=job.id,
        model=job.model,
        generator=generator,
        fitted=tuple(dict.fromkeys(job.fitted.values())),
        parts=tuple(shard.part for shard in shards),
        counts=counts,
        mean_confidence={name: min(1.0, _mean(by_class[name], "confidence")) for name in counts},
        balance=min(counts.values()) / max(1, *counts.values()),
        distances={name: _mean(by_class[name], "diversity") for name in counts},
    )
    return collected, _rejected(shards)


def _mean(shards: Sequence[Shard], figure: str) -> float:
    """Return a figure's mean over the samples of shards."""
    total = sum(shard.part.count for shard in shards)
    weighted = sum(getattr(shard, figure) * shard.part.count for shard in shards)
    return weighted / total if total else 0.0


def _rejected(shards: Sequence[Shard]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(shard.rejected)
    return {reason: count for reason, count in total.items() if count}
