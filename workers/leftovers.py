"""What remains when a job is over: looked for once more when no handler can be at it any longer.

Whoever ends a job removes what only the job needed, and so does each message of it that comes by later. What neither
sees is what a worker keeps for it afterwards and is killed before it can say so.
"""

from bus.bus import Bus
from schemas.documents import Fitted, Job, Model, ModelVersion
from schemas.names import run_of
from store.base import Store, change
from store.errors import NotFound
from store.jobs import clean_run
from workers.planning import fitted_id
from workers.releasing import release_of


async def clear(store: Store, bus: Bus, job: Job) -> None:
    """Remove what any attempt at a job that is over left behind, and note that nothing is left."""
    for attempt in range(1, job.attempt + 1):
        has_result = attempt == job.attempt and job.state == "completed"
        await clean_run(store, run_of(job.id, attempt), keeps_set=has_result)
        await _drop_unfinished_fit(store, job.model_copy(update={"attempt": attempt}))
    await _publish_newest(store, bus, job)
    await change(store, Job, job.id, lambda now: _cleared(now, job.attempt))


def _cleared(job: Job, attempt: int) -> Job:
    return job.model_copy(update={"leftovers": "none"}) if job.attempt == attempt else job


async def _drop_unfinished_fit(store: Store, job: Job) -> None:
    """Remove a fitted state that no document came to name."""
    try:
        await store.get(Fitted, fitted_id(job))
    except NotFound:
        await store.drop_parts(f"fitted/{fitted_id(job)}")


async def _publish_newest(store: Store, bus: Bus, job: Job) -> None:
    """Publish the model's newest release again, if there is one since the job's own.

    A worker that was held up may have published the job's own last, and a device that joins goes by the last.
    """
    if job.state != "completed" or job.spec.kind != "rehearsal" or not job.spec.release:
        return
    number = (await store.get(Model, job.model)).released
    newest = f"{job.model}@{number}"
    if newest != job.result:
        await bus.publish(await release_of(store, await store.get(ModelVersion, newest)))
