"""Reviews: rehearsal sets that wait for a person, and what the person decides."""

from pydantic import BaseModel, ConfigDict

from bus.bus import Bus
from control.verbs.errors import Refused
from control.verbs.pages import page as page_of
from schemas.documents import Job, RehearsalSet
from schemas.flow import ReviewDecided
from schemas.job import RehearsalSpec
from schemas.message import derived_id
from store.base import Store


class Waiting(BaseModel):
    """A job that waits for a decision, and the set that it is about."""

    model_config = ConfigDict(frozen=True)

    job: Job
    rehearsal_set: RehearsalSet


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Waiting]:
    """Return what waits for a person among a page of jobs under review, newest first."""
    jobs = await page_of(store, Job, limit, before, state="reviewing")
    return [
        Waiting(job=job, rehearsal_set=await store.get(RehearsalSet, job.run))
        for job in jobs
        if isinstance(job.spec, RehearsalSpec) and job.spec.review.mode == "manual"
    ]


async def decide(
    store: Store, bus: Bus, key: str, *, approved: bool, reviewer: str, reason: str = ""
) -> Job:
    """Decide on a job's rehearsal set: approved, training begins; rejected, its data is deleted.

    Of several decisions the first counts; deciding alike again changes nothing.

    Raises:
        Refused: The job does not wait for a decision.

    """
    job = await store.get(Job, key)
    if job.state != "reviewing":
        raise Refused(f"{key} is {job.state}, not under review", "`rdg review list` shows what is")
    decision = ReviewDecided(
        id=derived_id(job.run, "decision", approved, reviewer),
        job=key,
        attempt=job.attempt,
        approved=approved,
        reviewer=reviewer,
        reason=reason,
    )
    await bus.publish(decision)
    return job
