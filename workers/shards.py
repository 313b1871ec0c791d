"""The shards of a job: what each is, and which are on their way.

A job has `window` lanes. Lane r makes the shards r, r + window, r + 2 window and so on, one after the other: planning
asks for the first of each, and the arrival of one at collection asks for the next, once however often it comes. So at
most `window` shards of a job are on their way, however many it has, and jobs take turns. Who makes a shard, when, and
beside how many others, changes nothing in it: its order follows from the job and its number.
"""

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Literal, Self

from schemas.documents import Fitted, Job
from schemas.flow import MAX_SHARDS, Order
from schemas.job import RehearsalSpec
from store.base import Store
from store.fits import LEAST
from workers.resources import Refusal

SHARD_BYTES = 512 * 1024
SHARD_SAMPLES = 500
AUTO_SAMPLES, AUTO_BYTES = 2000, 16 * 2**20  # of a class, at most
KEPT_PLANS = 256


@dataclass(frozen=True)
class Share:
    """The shards of one class from one fit: numbers from `first`, of `size` samples each, and a last one with the rest.

    Attributes:
        place: Of the fit among those of the class, from 0, the oldest.
        data: What it was fitted on (schemas/documents.py).
        count: Samples in all.

    """

    target: str
    place: int
    generator: str
    fitted: str
    data: str
    count: int
    size: int
    first: int


@dataclass(frozen=True)
class Plan:
    """All shards of one attempt at a job."""

    spec: RehearsalSpec
    shares: tuple[Share, ...]
    shards: int

    @classmethod
    def of(cls, spec: RehearsalSpec, fits: Mapping[str, Sequence[Fitted]]) -> Self:
        """Cut what is asked of each class into shards, class by class and fit by fit in the order of `fits`.

        Raises:
            Refusal: They are more than MAX_SHARDS.

        """
        shares: list[Share] = []
        shards = 0
        for target, own in fits.items():
            for place, (fit, count) in enumerate(
                zip(own, _shared(_count(spec, own), len(own)), strict=True)
            ):
                size, data = _shard_size(fit), fit.fitted_on
                shares.append(
                    Share(target, place, fit.generator, fit.id, data, count, size, shards)
                )
                shards += ceil(count / size)
        if shards > MAX_SHARDS:
            raise Refusal(f"count: {shards} shards, at most {MAX_SHARDS}; ask for fewer samples")
        return cls(spec, tuple(shares), shards)

    def order(self, shard: int, window: int) -> Order:
        """Return what to ask for as that shard."""
        share = self.shares[bisect_right(self.shares, shard, key=lambda each: each.first) - 1]
        index = shard - share.first
        return Order(
            shard=shard,
            shards=self.shards,
            window=window,
            generator=share.generator,
            fitted=share.fitted,
            target=share.target,
            count=min(share.size, share.count - index * share.size),
            seed=_seed(self.spec.seed, share, index),
            options=self.spec.options,
            start=index * share.size,
            common_seed=_seed(self.spec.seed, share, "all"),
        )

    def fit_beside(self, target: str, fitted: str) -> str:
        """Return a class's fit of the same data as `fitted`, or else its newest; `fitted` of a class that has none."""
        own = [share for share in self.shares if share.target == target]
        if not own or any(share.fitted == fitted for share in own):
            return fitted
        data = next((share.data for share in self.shares if share.fitted == fitted), None)
        of_data = [share for share in own if share.data == data]
        return (of_data or own)[-1].fitted


@dataclass(frozen=True)
class Plans:
    """The plans of jobs whose fits are chosen; those used last are kept."""

    store: Store
    kept: "OrderedDict[str, Plan]" = field(default_factory=OrderedDict)

    async def of(self, job: Job) -> Plan:
        """Return the plan of a job's attempt."""
        plan = self.kept.get(job.run)
        if plan is None:
            plan = Plan.of(job.rehearsal, await chosen_fits(self.store, job))
            self.kept[job.run] = plan
        self.kept.move_to_end(job.run)
        if len(self.kept) > KEPT_PLANS:
            self.kept.popitem(last=False)
        return plan


async def chosen_fits(store: Store, job: Job) -> dict[str, tuple[Fitted, ...]]:
    """Return the fits that were chosen for each class that the job rehearses, oldest first."""
    fits = {key: await store.get(Fitted, key) for key in job.fits}
    return {name: tuple(fits[key] for key in keys) for name, keys in job.fitted.items()}


def unarrived(shards: int, window: int, arrived: Collection[int]) -> list[int]:
    """Return the shards to ask for so that a job goes on: the first of each lane that has not arrived.

    Once all have, that is the last: its arrival, again, says that the set is complete.
    """
    lanes = [range(lane, shards, window) for lane in range(min(window, shards))]
    firsts = [next((shard for shard in lane if shard not in arrived), None) for lane in lanes]
    return [shard for shard in firsts if shard is not None] or [shards - 1]


def _count(spec: RehearsalSpec, fits: Sequence[Fitted]) -> int:
    """Return how many samples of a class its fits are to give together."""
    if spec.count != "auto":
        return spec.count
    affordable = AUTO_BYTES // max(map(_sample_bytes, fits))
    return max(LEAST * len(fits), min(AUTO_SAMPLES, affordable))


def _sample_bytes(fit: Fitted) -> int:
    return prod(fit.shape) * (1 if fit.dtype == "uint8" else 4)


def _shard_size(fit: Fitted) -> int:
    return max(1, min(SHARD_SAMPLES, SHARD_BYTES // _sample_bytes(fit)))


def _shared(count: int, fits: int) -> list[int]:
    """Return how many samples each fit of a class gives: evenly, and what is left over by the newest."""
    least, over = divmod(count, fits)
    return [least] * (fits - over) + [least + 1] * over


def _seed(seed: int, share: Share, index: int | Literal["all"]) -> int:
    """Return a shard's seed, or that of all; of a class's only fit it is what it was when a class had but one."""
    text = f"{seed}/{share.target}/{index}"
    if share.place:
        text += f",{share.place}"  # no class has a comma in its name
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
