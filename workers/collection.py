"""Collection: shards come in, in any order and perhaps twice; the last one makes the rehearsal set."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import numpy as np
from pydantic import BaseModel

from bus.stage import Stage
from learning.bundle import pack
from learning.quality import measure
from schemas.documents import Job, RehearsalSet, SamplePart
from schemas.flow import Progress, RehearsalSetReady, SamplesLabelled
from schemas.message import derived_id
from schemas.names import set_of
from store.base import Store, change
from store.jobs import advance
from workers.resources import Resources, report

Out = RehearsalSetReady | Progress


class Shard(BaseModel):
    """What the gate keeps of a shard."""

    part: SamplePart
    rejected: dict[str, int]
    confidence: float  # mean, in [0, 1]
    diversity: float  # mean distance to the nearest other sample


def stage(resources: Resources) -> Stage[SamplesLabelled, Out]:
    """Return the collection stage."""
    store = resources.store

    async def handle(job: Job, message: SamplesLabelled) -> AsyncIterator[Out]:
        order = message.order
        shard = await _keep(store, job, message)
        arrivals = await store.arrive(job.run, order.shard, shard.model_dump_json(), order.shards)
        yield report(job, "collection", arrivals.count, order.shards)
        if arrivals.values is not None:
            shards = [Shard.model_validate_json(value) for value in arrivals.values]
            yield await _collect(store, job, order.generator, shards)

    return Stage(
        "collection",
        consumes=(SamplesLabelled,),
        produces=(RehearsalSetReady, Progress),
        handle=resources.on_jobs("collection", handle),
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
    store: Store, job: Job, generator: str, shards: Sequence[Shard]
) -> RehearsalSetReady:
    """Store the set and return the news of it, under an id of its own: any arrival may be the last."""
    parts = tuple(shard.part for shard in shards)
    counts = Counter(dict.fromkeys(job.fitted, 0))
    for part in parts:
        counts[part.target] += part.count
    confidence = {name: min(1.0, _mean(shards, name, "confidence")) for name in counts}
    balance = min(counts.values()) / max(1, *counts.values())
    collected = RehearsalSet(
        id=job.run,
        job=job.id,
        model=job.model,
        generator=generator,
        fitted=tuple(dict.fromkeys(job.fitted.values())),
        parts=parts,
        counts=dict(counts),
        mean_confidence=confidence,
        balance=balance,
        distances={name: _mean(shards, name, "diversity") for name in counts},
    )
    await store.insert(collected)
    await _note_rejected(store, job, shards)
    await advance(store, job, "reviewing")
    return RehearsalSetReady(
        id=derived_id(job.run, "set"),
        job=job.id,
        counts=dict(counts),
        mean_confidence=confidence,
        balance=balance,
    )


def _mean(shards: Sequence[Shard], target: str, figure: str) -> float:
    """Return a figure's mean over the samples of a class."""
    own = [shard for shard in shards if shard.part.target == target]
    total = sum(shard.part.count for shard in own)
    weighted = sum(getattr(shard, figure) * shard.part.count for shard in own)
    return weighted / total if total else 0.0


async def _note_rejected(store: Store, job: Job, shards: Sequence[Shard]) -> None:
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(shard.rejected)
    rejected = {reason: count for reason, count in total.items() if count}
    await change(store, Job, job.id, lambda now: now.model_copy(update={"rejected": rejected}))
