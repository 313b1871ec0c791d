"""Jobs: ask for one, watch it, end it, ask again.

A job is a document; a message only says that it is there. Both may be repeated: the id of a job with a token follows
from the token, and the id of its message from the job's attempt.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from bus.bus import Bus
from bus.errors import BusError, Busy
from bus.tracing import begun
from control.verbs import requests
from control.verbs.errors import Refused
from control.verbs.pages import page as page_of
from control.verbs.watching import end_of, watch
from schemas.documents import NEXT_STATES, TERMINAL, Job, JobState
from schemas.flow import Progress, RehearsalRequested
from schemas.job import Spec
from schemas.message import derived_id
from schemas.names import job_of
from store.base import Store
from store.errors import NotFound
from store.jobs import clean, finish, renew

OnProgress = Callable[[Progress], None]


class JobDetail(BaseModel):
    """A job, and what it has cost so far: sums by `<stage>.messages|seconds|bytes_in|bytes_out`."""

    model_config = ConfigDict(frozen=True)

    job: Job
    tallies: dict[str, float]


async def submit(store: Store, bus: Bus, spec: Spec, token: str = "") -> Job:
    """Check a specification, keep it as a job, and ask for it to be done.

    Args:
        store: Where the job is kept.
        bus: Where it is asked for.
        spec: What to do.
        token: The publisher's own name for this request. Submitting it again returns the same job, and asks for it
            once more if nobody has begun.

    Raises:
        Invalid: A field is wrong; nothing was written.
        Refused: The token names another job.
        Busy: As many jobs as may wait already; nothing is kept, the same may be submitted again later.
        BusError: It could not be asked for; the job has failed and may be retried.

    """
    with begun("submit job") as trace:
        job = Job(id=_id(token), token=token, model=spec.model, spec=spec, trace=trace)
        return await _submitted(store, bus, job)


async def _submitted(store: Store, bus: Bus, job: Job) -> Job:
    there = await _existing(store, job)
    if there is None:
        await requests.check(store, job.spec)
        if await store.insert(job):
            await _ask_first(store, bus, job)
            return job
        there = await store.get(Job, job.id)
    if there.spec != job.spec:
        problem = f"token {job.token!r} is that of {there.id}, which asks for something else"
        raise Refused(problem, "give this request a token of its own")
    if there.state == "submitted":
        await bus.publish(_request(there), there.trace)
        await store.insert(there)  # whoever kept it may have found the bus full, and taken it back
    return there


async def page(
    store: Store,
    limit: int = 100,
    before: str | None = None,
    *,
    model: str | None = None,
    state: JobState | None = None,
) -> list[Job]:
    """Return jobs, newest first."""
    return await page_of(store, Job, limit, before, model=model, state=state)


async def show(store: Store, key: str) -> JobDetail:
    """Return a job with its costs, or raise NotFound."""
    return JobDetail(job=await store.get(Job, key), tallies=await store.tallies(key))


async def cancel(store: Store, bus: Bus, key: str) -> Job:
    """End a job without a result. Whoever works on it stops at its next message.

    Raises:
        Refused: It is over already.

    """
    job = await store.get(Job, key)
    if not job.is_over:
        job = await finish(store, job, "cancelled", "cancelled on request")
    if job.state != "cancelled":
        raise Refused(f"{key} is already {job.state}", f"see `rdg job show {key}`")
    with suppress(BusError):  # for watchers only, and they look at the store as well
        await bus.publish(end_of(job), job.trace)
    return job


async def retry(store: Store, bus: Bus, key: str) -> Job:
    """Ask again for a job that ended without a result, as its next attempt.

    Raises:
        Invalid: What it needs is no longer there; nothing was written.
        Refused: It is running, or has a result.
        BusError: It could not be asked for; it may be retried again.

    """
    job = await store.get(Job, key)
    if job.state != "submitted":  # one that is may never have been asked for: do it now
        if "submitted" not in NEXT_STATES[job.state]:
            problem = f"{key} is {job.state}"
            raise Refused(problem, "only a failed, cancelled or rejected job can be retried")
        await requests.check(store, job.spec)
        await clean(store, job)  # whoever ended the attempt may have been killed before it had
        job = await renew(store, job)
    await _ask(store, bus, job)
    return job


async def wait(
    store: Store,
    bus: Bus,
    key: str,
    timeout_s: float | None = None,
    on_progress: OnProgress | None = None,
) -> Job:
    """Return the job once it is over; `on_progress` is told of every step before.

    Raises:
        TimeoutError: It is not over after `timeout_s`; it goes on.

    """
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline, watch(bus, store, key) as steps:
            async for step in steps:
                if on_progress and step.state not in TERMINAL:
                    on_progress(step)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise TimeoutError(f"{key} is not over after {timeout_s:g} s; it goes on") from error
    return await store.get(Job, key)


def _id(token: str) -> str:
    return job_of(token or secrets.token_hex(16))


async def _existing(store: Store, job: Job) -> Job | None:
    if not job.token:
        return None
    try:
        return await store.get(Job, job.id)
    except NotFound:
        return None


def _request(job: Job) -> RehearsalRequested:
    return RehearsalRequested(id=derived_id(job.run), job=job.id, attempt=job.attempt)


async def _ask_first(store: Store, bus: Bus, job: Job) -> None:
    """Publish the request; take the job back where there is no room for it."""
    try:
        await bus.publish(_request(job), job.trace)
    except Busy as error:
        await store.delete(Job, job.id)
        waiting = await store.count(Job, state="submitted")
        problem = f"busy: {waiting} jobs wait for their turn, as many as may; nothing was submitted"
        raise Busy(problem) from error
    except BusError as error:
        await _give_up(store, job, error)
        raise


async def _ask(store: Store, bus: Bus, job: Job) -> None:
    """Publish the request of a job that was there before."""
    try:
        await bus.publish(_request(job), job.trace)
    except BusError as error:
        await _give_up(store, job, error)
        raise


async def _give_up(store: Store, job: Job, error: BusError) -> None:
    """End a job: one that nobody will ever begin must not look as if it waited."""
    await finish(store, job, "failed", f"it could not be asked for: {error}")
    error.add_note(f"{job.id} has failed; `rdg job retry {job.id}` asks again")
