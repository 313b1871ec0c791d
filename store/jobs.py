"""A job's life: every change of its state goes through here, by whichever process.

All of it may be repeated: a state is entered once, and cleaning what is clean does nothing.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from schemas.documents import NEXT_STATES, Job, JobState
from schemas.names import claims_of, set_of, work_of
from store.base import Store, change

log = logging.getLogger("rdg.jobs")


async def advance(store: Store, job: Job, to: JobState, **fields: Any) -> Job:
    """Move the job's attempt to another state, with other fields, and return the job as it now is.

    Nothing changes if the state machine has no such step: somebody was first, or the job is over.
    """

    def step(current: Job) -> Job:
        if current.attempt != job.attempt or to not in NEXT_STATES[current.state]:
            return current
        return current.model_copy(update={**fields, "state": to, "updated": datetime.now(UTC)})

    return await change(store, Job, job.id, step)


async def finish(store: Store, job: Job, to: JobState, reason: str = "", **fields: Any) -> Job:
    """End the job's attempt and remove what only it needed."""
    ended = await advance(store, job, to, reason=reason[:4096], **fields)
    if ended.is_over:
        log.info("job %s (%s) is %s %s", ended.id, ended.model, ended.state, ended.reason)
        await clean(store, ended)
    return ended


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
