"""A job's life: every change of its state goes through here, by whichever process.

All of it may be repeated: a state is entered once, a decision is taken once, and cleaning what is clean does nothing.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.documents import NEXT_STATES, TERMINAL, Job, JobState, RehearsalSet
from schemas.names import claims_of, set_of, work_of
from store.base import Store, change

log = logging.getLogger("rdg.jobs")

ENDED = "jobs/ended"  # no job has such an id
AFRESH: Mapping[str, object] = {
    "state": "submitted",
    "reason": "",
    "base": None,
    "data": {},
    "fitted": {},
    "rejected": {},
    "result": None,
    "checkpoint": None,
    "resumed": None,
    "leftovers": "none",
}
"""What a new attempt begins with, whatever the one before it came to."""


async def advance(store: Store, job: Job, to: JobState, **fields: Any) -> Job:
    """Move the job's attempt to another state, with other fields, and return the job as it now is.

    Nothing changes if the state machine has no such step: somebody was first, or the job is over, which only `renew`
    takes back.
    """
    is_first = False

    def step(current: Job) -> Job:
        nonlocal is_first
        is_open = current.attempt == job.attempt and not current.is_over
        is_first = is_open and to in NEXT_STATES[current.state]
        if not is_first:
            return current
        update = {**fields, "state": to, "updated": datetime.now(UTC)}
        if current.state == "fitting":
            update["checkpoint"] = None  # training has slices of its own
        if to in TERMINAL:
            update["leftovers"] = "possible"
        return current.model_copy(update=update)

    after = await change(store, Job, job.id, step)
    if is_first and after.is_over:
        await store.tally(ENDED, {to: 1})
    return after


async def count_ended(store: Store) -> dict[str, float]:
    """Return how many attempts at jobs ended so far, by state: one too few for each process killed at that moment."""
    return await store.tallies(ENDED)


async def finish(store: Store, job: Job, to: JobState, reason: str = "", **fields: Any) -> Job:
    """End the job's attempt and remove what only it needed."""
    ended = await advance(store, job, to, reason=reason[:4096], **fields)
    if ended.is_over:
        log.info("job %s (%s) is %s %s", ended.id, ended.model, ended.state, ended.reason)
        await clean(store, ended)
    return ended


async def renew(store: Store, job: Job) -> Job:
    """Begin the next attempt at a job that ended without a result, and return the job as it now is."""

    def step(current: Job) -> Job:
        if current.attempt != job.attempt or "submitted" not in NEXT_STATES[current.state]:
            return current
        now = datetime.now(UTC)
        own = {"attempt": current.attempt + 1, "asked": now, "updated": now}
        return current.model_copy(update={**AFRESH, **own})

    return await change(store, Job, job.id, step)


async def decide(
    store: Store, run: str, *, approved: bool, reviewer: str, reason: str
) -> RehearsalSet:
    """Decide on the set of a job's attempt unless somebody has, and return the set as it now is."""

    def step(kept: RehearsalSet) -> RehearsalSet:
        if kept.status != "collected":
            return kept
        status = "approved" if approved else "deleted"
        return kept.model_copy(update={"status": status, "reviewer": reviewer, "reason": reason})

    return await change(store, RehearsalSet, run, step)


async def clean(store: Store, job: Job) -> None:
    """Remove what a job that is over no longer needs; a set that was not trained on goes too."""
    await clean_run(store, job.run, keeps_set=job.state == "completed")


async def clean_run(store: Store, run: str, *, keeps_set: bool) -> None:
    """Remove what only one attempt at a job needed."""
    await store.drop_parts(claims_of(run))
    await store.drop_parts(work_of(run))
    await store.close_gate(run)
    if not keeps_set:
        await store.drop_parts(set_of(run))
