"""Collection: shards come in, in any order and perhaps twice; the last one makes the rehearsal set.

Each that comes asks for the next of its lane (workers/shards.py), under an id that follows from the attempt and the
shard. One message per shard may ask: the one that came first, whose id the gate keeps. Another message for the same
shard asks for nothing, so what was asked for twice becomes one again here. The first one asks once more when it is
delivered again, since its worker may have been killed before the request was out; not once the next shard is in, since
then it was. So no lane is lost, at most one missing shard of each is on its way, and what a repeated delivery makes a
second time ends where it is a shard behind the first.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from math import ceil
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bus.stage import Stage
from learning.bundle import pack
from learning.likeness import Likeness as Figures
from learning.likeness import likeness, tally
from learning.quality import measure
from learning.reference import ClassReference
from learning.samples import fingerprints
from schemas.documents import Job, RehearsalSet, SamplePart
from schemas.flow import GenerationRequested, Order, Progress, RehearsalSetReady, SamplesLabelled
from schemas.job import Rejections
from schemas.limits import MAX_ENTRIES
from schemas.message import derived_id
from schemas.model import Likeness
from schemas.names import Name, set_of
from store.base import Store, change
from store.jobs import advance
from workers.references import References
from workers.resources import Refusal, Resources, report
from workers.shards import Plan, Plans

Arrays = Mapping[str, NDArray[Any]]
KnownByFit = Mapping[tuple[str, str], ClassReference]  # by class and fit
Out = GenerationRequested | RehearsalSetReady | Progress

REPORTS = 100  # of a job, at most about as many: each goes to every watcher
FINGERPRINTS = 1024


class Portion(BaseModel):
    """What the gate keeps of a shard's samples of one class: sound, for what it has once it never gives back.

    `contents` are fingerprints, as uint64, of the first `FINGERPRINTS` samples; `tally` is what learning/likeness.py
    sums up, as float32, and empty where there is nothing to compare with. `fitted` is the fit whose data they were
    compared with; None: an earlier release kept none, when a class had but one.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    part: SamplePart
    fitted: Name | None = None
    confidence: float = Field(ge=0, le=1)  # mean
    diversity: float = Field(ge=0, allow_inf_nan=False)  # mean distance to the nearest other sample
    near_duplicates: float = Field(0, ge=0, le=1)
    contents: bytes = Field(b"", max_length=8 * FINGERPRINTS)
    tally: bytes = Field(b"", max_length=8192)


class Shard(Portion):
    """What the gate keeps of a shard: samples of the class it was to have, and `corrected` ones of others.

    `left_by` is the id of the message that brought it; None: an earlier release kept none.
    """

    left_by: UUID | None = None
    rejected: Rejections
    corrected: tuple[Portion, ...] = ()


def stage(resources: Resources) -> Stage[SamplesLabelled, Out]:
    """Return the collection stage."""
    store, plans = resources.store, Plans(resources.store)
    references = References(resources.store)

    async def handle(job: Job, message: SamplesLabelled) -> AsyncIterator[Out]:
        order = message.order
        shard = await _keep(store, await plans.of(job), references, job, message)
        arrivals = await store.arrive(job.run, order.shard, shard.model_dump_json(), order.shards)
        if arrivals.values is None and await _may_ask(store, job, message, arrivals.earlier):
            yield await _next(plans, job, order)
        if arrivals.values is not None or arrivals.count % ceil(order.shards / REPORTS) == 0:
            yield report(job, "collection", arrivals.count, order.shards)
        if arrivals.values is not None:
            every = await references.of_each(job.fitted)
            yield await _collect(store, job, order.generator, arrivals.values, every)

    return Stage(
        "collection",
        consumes=(SamplesLabelled,),
        produces=(GenerationRequested, RehearsalSetReady, Progress),
        handle=resources.on_jobs("collection", handle),
    )


async def _may_ask(store: Store, job: Job, message: SamplesLabelled, earlier: str | None) -> bool:
    """Return whether this message is the one to ask for its lane's next shard, and may not have done so yet."""
    following = message.order.shard + message.order.window
    if following >= message.order.shards:
        return False
    if earlier is None:
        return True
    left_by = Shard.model_validate_json(earlier).left_by
    return left_by in (None, message.id) and following not in await store.arrived(job.run)


async def _next(plans: Plans, job: Job, order: Order) -> GenerationRequested:
    """Return the request for the shard that comes after this one in its lane."""
    shard = order.shard + order.window
    plan = await plans.of(job)
    return GenerationRequested(
        id=derived_id(job.run, "shard", shard), job=job.id, order=plan.order(shard, order.window)
    )


async def _keep(
    store: Store, plan: Plan, references: References, job: Job, message: SamplesLabelled
) -> Shard:
    """Store a shard's samples, a part for each class, and return the figures that the set is judged by.

    Each is compared with the data of the fit that it was drawn from; a corrected one with that of its class's fit of
    the same data, or else of its newest.
    """
    portions = []
    for target, arrays in _by_class(message):
        data = pack(arrays)
        part = SamplePart(
            target=target,
            count=len(arrays["samples"]),
            digest=await store.put_part(data, set_of(job.run)),
            size_bytes=len(data),
        )
        fitted = plan.fit_beside(target, message.order.fitted)
        known = await references.of(fitted, target)
        portions.append(await asyncio.to_thread(_portion, part, fitted, arrays, known))
    first, *corrected = portions
    return Shard(
        **dict(first),
        left_by=message.id,
        rejected=message.rejected,
        corrected=tuple(corrected),
    )


def _by_class(message: SamplesLabelled) -> Iterator[tuple[str, Arrays]]:
    """Yield the arrays of each class's samples."""
    arrays = {
        "samples": message.samples,
        "probabilities": message.probabilities,
        "confidence": message.confidence,
    }
    counts, end = message.counts or {message.order.target: len(message.samples)}, 0
    if sum(counts.values()) != len(message.samples):
        raise ValueError(f"counts: {counts} do not add up to {len(message.samples)} samples")
    for target, count in counts.items():
        start, end = end, end + count
        yield target, {name: array[start:end] for name, array in arrays.items()}


def _portion(
    part: SamplePart, fitted: str, arrays: Arrays, known: ClassReference | None
) -> Portion:
    if not part.count:
        return Portion(part=part, fitted=fitted, confidence=0, diversity=0)
    samples, confidence = arrays["samples"], arrays["confidence"]
    quality = measure(samples, np.zeros(part.count, np.int64), confidence)
    return Portion(
        part=part,
        fitted=fitted,
        confidence=float(confidence.mean()),
        diversity=quality.diversity,
        near_duplicates=quality.near_duplicates,
        contents=fingerprints(samples[:FINGERPRINTS]).astype("<u8").tobytes(),
        tally=tally(samples, known).astype("<f4").tobytes() if known else b"",
    )


async def _collect(
    store: Store,
    job: Job,
    generator: str,
    values: Sequence[str],
    known: KnownByFit,
) -> RehearsalSetReady:
    """Store the set and return the news of it, under an id of its own: any arrival may be the last."""
    collected, rejected = await asyncio.to_thread(_set_of, job, generator, values, known)
    await store.insert(collected)
    await change(store, Job, job.id, lambda now: now.model_copy(update={"rejected": rejected}))
    await advance(store, job, "reviewing")
    return RehearsalSetReady(
        id=derived_id(job.run, "set"),
        job=job.id,
        counts=collected.counts,
        mean_confidence=collected.mean_confidence,
        balance=collected.balance,
        likeness=collected.likeness,
    )


def _set_of(
    job: Job, generator: str, values: Sequence[str], known: KnownByFit
) -> tuple[RehearsalSet, dict[str, int]]:
    """Return the set that the gate's values describe, and how many samples were rejected for each reason."""
    shards = [Shard.model_validate_json(value) for value in values]
    portions = [portion for shard in shards for portion in (shard, *shard.corrected)]
    if len(portions) > MAX_ENTRIES:
        raise Refusal(
            f"labels: {len(portions)} parts, at most {MAX_ENTRIES}; ask for fewer samples"
        )
    by_class: defaultdict[str, list[Portion]] = defaultdict(list)
    for portion in portions:
        by_class[portion.part.target].append(portion)
    own = {name: by_class[name] for name in job.fitted}
    counts = {name: _count(each) for name, each in own.items()}
    collected = RehearsalSet(
        id=job.run,
        job=job.id,
        model=job.model,
        generator=generator,
        fitted=job.fits,
        parts=tuple(portion.part for portion in portions),
        counts=counts,
        mean_confidence={name: min(1.0, _mean(each, "confidence")) for name, each in own.items()},
        balance=min(counts.values()) / max(1, *counts.values()),
        distances={name: _mean(each, "diversity") for name, each in own.items()},
        near_duplicates={
            name: min(1.0, _mean(each, "near_duplicates")) for name, each in own.items()
        },
        duplicates={name: _duplicates(each) for name, each in own.items()},
        corrected=_corrected(shards),
        likeness=_likenesses(job, own, known),
    )
    return collected, _rejected(shards)


def _count(portions: Sequence[Portion]) -> int:
    return sum(portion.part.count for portion in portions)


def _mean(portions: Sequence[Portion], figure: str) -> float:
    """Return a figure's mean over the samples of portions."""
    total = _count(portions)
    weighted = sum(getattr(portion, figure) * portion.part.count for portion in portions)
    return weighted / total if total else 0.0


def _duplicates(portions: Sequence[Portion]) -> float:
    """Return the share of samples that are equal to an earlier one of their class."""
    found = np.frombuffer(b"".join(portion.contents for portion in portions), "<u8")
    return 1 - len(np.unique(found)) / len(found) if len(found) else 0.0


def _corrected(shards: Sequence[Shard]) -> dict[str, int]:
    """Return how many samples of each class were made for another; classes without any are left out."""
    parts = [portion.part for shard in shards for portion in shard.corrected]
    total: Counter[str] = Counter()
    for part in parts:
        total[part.target] += part.count
    return dict(total)


def _likenesses(
    job: Job, by_class: Mapping[str, Sequence[Portion]], known: KnownByFit
) -> dict[str, Likeness]:
    """Return how alike each class is to the real one, where that is known of each of its fits."""
    found = {}
    for name, fits in job.fitted.items():
        by_fit: defaultdict[str, list[Portion]] = defaultdict(list)
        for portion in by_class[name]:
            by_fit[portion.fitted or fits[-1]].append(portion)
        figures = [_of_fit(by_fit[fit], known.get((name, fit))) for fit in fits]
        if (worst := _worst(figures)) is not None:
            found[name] = worst
    return found


def _of_fit(portions: Sequence[Portion], reference: ClassReference | None) -> Figures | None:
    """Return how alike the samples of one class from one fit are to what it was fitted on."""
    tallies = [np.frombuffer(each.tally, "<f4") for each in portions if each.tally]
    if reference is None or not tallies:
        return None
    return likeness(np.sum(tallies, axis=0, dtype=np.float64), reference)


def _worst(figures: Sequence[Figures | None]) -> Likeness | None:
    """Return the worst of each figure over a class's fits; None if one is not known."""
    known = [each for each in figures if each is not None]
    if len(known) < len(figures):
        return None
    return Likeness(
        fidelity=min(each.fidelity for each in known),
        coverage=min(each.coverage for each in known),
        drift=max(each.drift for each in known),
    )


def _rejected(shards: Sequence[Shard]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(shard.rejected)
    return {reason: count for reason, count in total.items() if count}
