"""Where a job stands, as the message that takes it on from there.

The store knows enough of every open job to ask for what is missing and no more: the checkpoint of a training, the
decision of a person, the shards that have arrived. Asking while somebody is at it changes nothing in the result.
"""

import logging
import random

from bus.bus import Bus
from bus.errors import BusUnavailable, Busy, Unroutable
from schemas.documents import NEXT_STATES, TERMINAL, Job, ModelVersion, RehearsalSet, Resumption
from schemas.flow import (
    FittingRequested,
    GeneratorFitted,
    ModelTrained,
    RehearsalRequested,
    RehearsalSetReady,
    ReviewDecided,
    TrainingRequested,
)
from schemas.message import JobMessage, derived_id
from store.base import Store, each
from store.errors import Conflict, Damaged, NotFound
from workers.resources import fail
from workers.slices import Slice

OPEN = tuple(state for state in NEXT_STATES if state not in TERMINAL)
STAGE = "watchdog"  # who says so in a job's progress
RESTARTS = 20
"""How often a job may be met at one place by a process that starts; then it is what ends the process each time."""

log = logging.getLogger("rdg.worker")


async def whereabouts(store: Store, job: Job) -> JobMessage:
    """Return the message that takes an open job on from where it stands, still without an id.

    Raises:
        NotFound: What the job has made so far is gone.

    """
    message: JobMessage
    match job.state:
        case "fitting":
            message = _slice(job, FittingRequested(job=job.id, generator=str(job.spec.generator)))
        case "generating":
            # Not RehearsalRequested: the job starts from the version that it chose, whatever is released by now.
            message = GeneratorFitted(job=job.id, fitted=job.fits[0])
        case "reviewing":
            message = _review(await store.get(RehearsalSet, job.run))
        case "training":
            message = _slice(job, TrainingRequested(job=job.id))
        case "releasing":
            found = await store.find(ModelVersion, run=job.run, limit=1)
            message = _trained(found[0]) if found else _slice(job, TrainingRequested(job=job.id))
        case _:
            message = RehearsalRequested(job=job.id)
    return message.model_copy(update={"job": job.id, "attempt": job.attempt})


async def standing(store: Store, job: Job) -> str:
    """Return in words how far an open job is: it has moved if and only if they change."""
    if job.state == "generating":
        return f"generating, {len(await store.arrived(job.run))} shards in"
    return f"{job.state}, slice {job.checkpoint.slice}" if job.checkpoint else job.state


async def waits_for_person(store: Store, job: Job) -> bool:
    """Return whether nobody but a person can take the job on; if the set is gone, not even a person can."""
    if job.state != "reviewing" or job.rehearsal.review.mode != "manual":
        return False
    try:
        return (await store.get(RehearsalSet, job.run)).status == "collected"
    except NotFound:
        return False


async def ask_again(store: Store, bus: Bus, job: Job, most: int) -> None:
    """Ask for a job from where it stands; fail it if that was done `most` times and it has not moved since.

    It fails at once if what it made so far is gone, or if no worker that is installed could take it on.
    The count is kept with the job, by compare-and-set: of several that ask at the same time, one does. What the bus
    does not take is not counted.
    """
    try:
        at = await standing(store, job)
        asked = job.resumed.count if job.resumed and job.resumed.at == at else 0
        if asked >= most:
            reason = f"asked for again {asked} times, it got no further than: {at}"
            await fail(store, bus, job, STAGE, reason)
            return
        await _ask(store, bus, job, Resumption(at=at, count=asked + 1))
    except Conflict:
        return  # it moves, or somebody else asks
    except (NotFound, Unroutable) as missing:
        await fail(store, bus, job, STAGE, str(missing))


async def _ask(store: Store, bus: Bus, job: Job, resumed: Resumption) -> None:
    counted = await store.replace(job.model_copy(update={"resumed": resumed}))
    log.warning("job %s is asked for again (%d): it was %s", job.id, resumed.count, resumed.at)
    try:
        await _publish(store, bus, counted, resumed.at, resumed.count)
    except (Busy, BusUnavailable):
        await store.replace(counted.model_copy(update={"resumed": job.resumed}))
        raise


async def ask_for_all(store: Store, bus: Bus) -> None:
    """Ask for every open job from where it stands, for a bus that has forgotten all messages.

    In no certain order: so one that ends the process whenever it is met does not keep the others from moving. What
    waits, for its turn or for a person, is not expected to move. Those that a queue has no room for are left to the
    watchdog, and so are those of which something is damaged.
    """
    jobs = [job for state in OPEN async for job in each(store, Job, state=state)]
    random.shuffle(jobs)
    for job in jobs:
        try:
            if job.state == "submitted" or await waits_for_person(store, job):
                await _publish(store, bus, job)
            else:
                await ask_again(store, bus, job, RESTARTS)
        except (Busy, Damaged) as error:
            log.warning("job %s is not asked for yet: %s", job.id, error)


async def _publish(store: Store, bus: Bus, job: Job, *standing: object) -> None:
    message = await whereabouts(store, job)
    again = message.model_copy(update={"id": derived_id(job.run, "again", *standing)})
    await bus.publish(again, job.trace)


def _slice(job: Job, first: Slice) -> Slice:
    """Return the request for the slice that begins with the newest checkpoint."""
    left = job.checkpoint
    return first.model_copy(update={"slice": left.slice, "checkpoint": left.digest} if left else {})


def _review(kept: RehearsalSet) -> RehearsalSetReady | ReviewDecided:
    """Return the news of a set, or the decision on it if there is one."""
    if kept.status == "collected":
        return RehearsalSetReady(
            job=kept.job,
            counts=kept.counts,
            mean_confidence=kept.mean_confidence,
            balance=kept.balance,
            likeness=kept.likeness,
        )
    return ReviewDecided(
        job=kept.job,
        approved=kept.status == "approved",
        reviewer=kept.reviewer,
        reason=kept.reason,
    )


def _trained(version: ModelVersion) -> ModelTrained:
    """Return the news of a candidate that is on record but not released yet."""
    return ModelTrained(
        job=version.provenance.job,
        base=version.base,
        architecture=version.architecture,
        classes=version.classes,
        parts=version.parts,
        scores=version.scores,
        before=version.before,
    )
