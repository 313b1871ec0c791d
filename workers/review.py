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


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the review stage."""
    store = resources.store

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        if isinstance(message, ReviewDecided):
            async for step in _carry_out(store, job, message):
                yield step
        elif job.rehearsal.review.mode == "policy":
            yield _judge(job.rehearsal.review, message)
        else:
            yield report(job, "review", note=f"waits for a person: rdg review approve {job.id}")

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


async def _carry_out(store: Store, job: Job, decision: ReviewDecided) -> AsyncIterator[Out]:
    """Start training, or delete the data. Of several decisions the first counts."""
    if decision.approved:
        if job.state == "reviewing":
            await _mark(store, job, "approved", decision.reviewer)
            job = await advance(store, job, "training")
        if job.state == "training":
            yield first_slice(job)
    elif job.state == "reviewing":
        await _mark(store, job, "deleted", decision.reviewer)
        await store.drop_parts(set_of(job.run))
        job = await finish(
            store, job, "rejected", f"review by {decision.reviewer}: {decision.reason}"
        )
    yield report(job, "review")


async def _mark(store: Store, job: Job, status: str, reviewer: str) -> None:
    await change(
        store,
        RehearsalSet,
        job.run,
        lambda kept: kept.model_copy(update={"status": status, "reviewer": reviewer}),
    )
