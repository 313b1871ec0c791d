"""Review: a policy or a person approves a rehearsal set; rejecting deletes its data (Vora et al., section 2.3)."""

from collections.abc import AsyncIterator

from bus.stage import Stage
from schemas.documents import Job
from schemas.flow import Progress, RehearsalSetReady, ReviewDecided, TrainingRequested
from schemas.job import Review
from schemas.names import set_of
from store.base import Store
from store.jobs import advance, decide, finish
from workers.planning import first_slice
from workers.resources import Resources, report

In = RehearsalSetReady | ReviewDecided
Out = ReviewDecided | TrainingRequested | Progress

APPROVE = "rdg review approve"


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the review stage."""
    store = resources.store

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        review = job.rehearsal.review
        if isinstance(message, ReviewDecided):
            job = await _carry_out(store, job, message)
            if job.state == "training" and message.approved:
                yield first_slice(job)
        elif job.state == "reviewing" and review.mode == "policy":
            yield _judge(review, message)
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


async def _carry_out(store: Store, job: Job, decision: ReviewDecided) -> Job:
    """Send the job to training, or delete the data, and return the job as it now is.

    Of several decisions the first counts: the one that the set was marked with.
    """
    if job.state != "reviewing":
        return job
    kept = await decide(
        store,
        job.run,
        approved=decision.approved,
        reviewer=decision.reviewer,
        reason=decision.reason,
    )
    if decision.approved != (kept.status == "approved"):
        return job
    if decision.approved:
        return await advance(store, job, "training")
    await store.drop_parts(set_of(job.run))
    return await finish(store, job, "rejected", f"review by {kept.reviewer}: {kept.reason}")
