"""What remains when a job is over: looked for once more when no handler can be at it any longer.

Whoever ends a job removes what only the job needed, and so does each message of it that comes by later. What neither
sees is what a worker keeps for it afterwards and is killed before it can say so: fitted states and parameters that no
document came to name, and uploads that were never done.
"""

from datetime import UTC, datetime, timedelta

from bus.bus import Bus
from schemas.documents import Fitted, Job, Model, ModelVersion
from schemas.names import model_of, run_of
from store.base import Store, change
from store.errors import NotFound
from store.jobs import clean_run
from workers.releasing import publish_newest

UPLOAD = timedelta(days=1)  # far longer than any takes, whatever the clocks of two machines say


async def clear_uploads(store: Store) -> None:
    """Remove what processes uploaded in part before they were killed."""
    await store.drop_unfinished(datetime.now(UTC) - UPLOAD)


async def clear(store: Store, bus: Bus, job: Job) -> None:
    """Remove what any attempt at a job that is over left behind, and note that nothing is left."""
    for attempt in range(1, job.attempt + 1):
        has_result = attempt == job.attempt and job.state == "completed"
        await clean_run(store, run_of(job.id, attempt), keeps_set=has_result)
        await _drop_unfinished_fit(store, job.model_copy(update={"attempt": attempt}))
        await _drop_unnamed_parameters(store, run_of(job.id, attempt))
    if await _is_newest_published(store, bus, job):  # else its turn comes again
        await change(store, Job, job.id, lambda now: _cleared(now, job.attempt))


def _cleared(job: Job, attempt: int) -> Job:
    return job.model_copy(update={"leftovers": "none"}) if job.attempt == attempt else job


async def _drop_unfinished_fit(store: Store, job: Job) -> None:
    """Remove a fitted state that no document came to name."""
    try:
        await store.get(Fitted, job.own_fit)
    except NotFound:
        await store.drop_parts(f"fitted/{job.own_fit}")


async def _drop_unnamed_parameters(store: Store, run: str) -> None:
    """Remove the parameters of a version that was never recorded."""
    if not await store.find(ModelVersion, run=run, limit=1):
        await store.drop_parts(model_of(run))


async def _is_newest_published(store: Store, bus: Bus, job: Job) -> bool:
    """Publish the model's newest release again, if there is one since the job's own; return whether all is well.

    A worker that was held up may have published the job's own last, and a device that joins goes by the last.
    """
    if job.state != "completed" or job.spec.kind != "rehearsal" or not job.spec.release:
        return True
    model = await store.get(Model, job.model)
    if f"{job.model}@{model.released}" == job.result:
        return True
    return await publish_newest(store, bus, model)
