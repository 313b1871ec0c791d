"""Review: a policy or a person approves a rehearsal set; rejecting deletes its data (Vora et al., section 2.3)."""

from collections.abc import AsyncIterator

from bus.stage import Stage
from schemas.documents import Job, RehearsalSet
from schemas.flow import Progress, RehearsalSetReady, ReviewDecided, TrainingRequested
from schemas.job import Review
from schemas.names import set_of
from store.base import Store, change
from store.jobs import advance, finish
from workers.planning import first_slice
from workers.resources import Resources, report

In = RehearsalSetReady | ReviewDecided
Out = ReviewDecided | TrainingRequested | Progress

APPROVE = "rdg review approve"
DECIDED = ("training", "releasing")  # after a restart such a job comes by again, and is sent on


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the review stage."""
    store = resources.store

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        review = job.rehearsal.review
        if isinstance(message, ReviewDecided):
            job = await _carry_out(store, job, message)
        elif job.state == "reviewing" and review.mode == "policy":
            yield _judge(review, message)
        if job.state in DECIDED and not _is_rejection(message):
            yield first_slice(job)
        waits = job.state == "reviewing" and review.mode == "manual"
        yield report(job, "review", note=f"waits for a person: {APPROVE} {job.id}" if waits else "")

    return Stage(
        "review",
        consumes=(RehearsalSetReady, ReviewDecided),
        produces=(ReviewDecided, TrainingRequested, Progress),
        handle=resources.on_jobs("review", handle),
    )


def _judge(review: Review, ready: RehearsalSetReady) -> ReviewDecided:
    """Return the policy's decision, with every threshold that was missed."""
    reasons = [
        f"{name}: {count} samples, at least {review.min_count} are needed"
        for name, count in ready.counts.items()
        if count < review.min_count
    ]
    reasons += [
        f"{name}: mean confidence {mean:.2f} is under {review.min_mean_confidence}"
        for name, mean in ready.mean_confidence.items()
        if mean < review.min_mean_confidence
    ]
    if ready.balance < review.min_balance:
        reasons.append(f"balance {ready.balance:.2f} is under {review.min_balance}")
    return ReviewDecided(
        job=ready.job, approved=not reasons, reviewer="policy", reason="; ".join(reasons)[:1024]
    )


def _is_rejection(message: In) -> bool:
    return isinstance(message, ReviewDecided) and not message.approved


async def _carry_out(store: Store, job: Job, decision: ReviewDecided) -> Job:
    """Send the job to training, or delete the data, and return the job as it now is.

    Of several decisions the first counts: the one that the set was marked with.
    """
    if job.state != "reviewing":
        return job
    status = "approved" if decision.approved else "deleted"
    if await _mark(store, job, status, decision.reviewer) != status:
        return job
    if decision.approved:
        return await advance(store, job, "training")
    await store.drop_parts(set_of(job.run))
    return await finish(store, job, "rejected", f"review by {decision.reviewer}: {decision.reason}")


async def _mark(store: Store, job: Job, status: str, reviewer: str) -> str:
    """Decide on the job's set unless somebody has, and return what was decided."""

    def step(kept: RehearsalSet) -> RehearsalSet:
        if kept.status != "collected":
            return kept
        return kept.model_copy(update={"status": status, "reviewer": reviewer})

    return (await change(store, RehearsalSet, job.run, step)).status
