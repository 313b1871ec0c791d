"""Reviews: rehearsal sets that wait for a person, and what the person decides."""

from pydantic import BaseModel, ConfigDict

from bus.bus import Bus
from control.verbs.errors import Refused
from control.verbs.pages import page as page_of
from schemas.documents import Fitted, Job, RehearsalSet
from schemas.flow import ReviewDecided
from schemas.job import RehearsalSpec
from schemas.message import derived_id
from store.base import Store
from store.jobs import decide as mark


class Waiting(BaseModel):
    """A job that waits for a decision, and the set that it is about."""

    model_config = ConfigDict(frozen=True)

    job: Job
    rehearsal_set: RehearsalSet


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Waiting]:
    """Return what waits for a person among a page of jobs under review, newest first."""
    jobs = await page_of(store, Job, limit, before, state="reviewing")
    waiting = [
        Waiting(job=job, rehearsal_set=await store.get(RehearsalSet, job.run))
        for job in jobs
        if isinstance(job.spec, RehearsalSpec) and job.spec.review.mode == "manual"
    ]
    return [each for each in waiting if each.rehearsal_set.status == "collected"]


async def show(store: Store, key: str) -> RehearsalSet:
    """Return the rehearsal set of a job's newest attempt, whatever was decided on it."""
    return await store.get(RehearsalSet, (await store.get(Job, key)).run)


async def fits(store: Store, key: str) -> list[Fitted]:
    """Return the fits that made a job's rehearsal set, in the order of its classes, each once."""
    return [await store.get(Fitted, fit) for fit in (await store.get(Job, key)).fits]


async def decide(
    store: Store, bus: Bus, key: str, *, approved: bool, reviewer: str, reason: str = ""
) -> Job:
    """Decide on a job's rehearsal set: approved, training begins; rejected, its data is deleted.

    The decision is on record before anybody is told of it, so it is carried out even if this process is killed. Of
    several decisions the first counts; deciding alike again changes nothing.

    Raises:
        Refused: The job does not wait for a decision, or somebody has decided otherwise.

    """
    job = await store.get(Job, key)
    if job.state != "reviewing":
        raise Refused(f"{key} is {job.state}, not under review", "`rdg review list` shows what is")
    kept = await mark(store, job.run, approved=approved, reviewer=reviewer, reason=reason)
    if approved != (kept.status == "approved"):
        verdict = "rejected" if approved else "approved"
        raise Refused(f"{key} was already {verdict} by {kept.reviewer}", f"`rdg job show {key}`")
    decision = ReviewDecided(
        id=derived_id(job.run, "decision", approved, kept.reviewer),
        job=key,
        attempt=job.attempt,
        approved=approved,
        reviewer=kept.reviewer,
        reason=kept.reason,
    )
    await bus.publish(decision, job.trace)
    return job
