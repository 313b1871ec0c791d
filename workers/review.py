"""Review: a policy or a person approves a rehearsal set; rejecting deletes its data (Vora et al., section 2.3)."""

from collections.abc import AsyncIterator

from bus.stage import Stage
from schemas.documents import Job
from schemas.flow import Progress, RehearsalSetReady, ReviewDecided, TrainingRequested
from schemas.job import Review
from schemas.model import Likeness
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
    for name in ready.counts:
        reasons += [f"{name}: {reason}" for reason in _unlike(review, ready.likeness.get(name))]
    return ReviewDecided(
        job=ready.job, approved=not reasons, reviewer="policy", reason="; ".join(reasons)[:1024]
    )


def _unlike(review: Review, likeness: Likeness | None) -> list[str]:
    """Return how one class is less like its real data than the review asks for."""
    if likeness is None:
        asks = review.min_fidelity or review.min_coverage or review.max_drift is not None
        return ["nothing is known of its likeness to the real data"] if asks else []
    reasons = [
        f"{figure} {value:.2f} is under {least}"
        for figure, value, least in (
            ("fidelity", likeness.fidelity, review.min_fidelity),
            ("coverage", likeness.coverage, review.min_coverage),
        )
        if value < least
    ]
    if review.max_drift is not None and likeness.drift > review.max_drift:
        reasons.append(f"drift {likeness.drift:.2f} is over {review.max_drift}")
    return reasons


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
