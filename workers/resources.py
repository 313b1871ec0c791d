"""What a stage may use, and what all stages do with a job."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TypeVar

from bus.bus import Bus
from schemas.documents import Job
from schemas.flow import Progress
from schemas.message import JobMessage, Message
from store.base import Store
from store.errors import NotFound
from store.jobs import clean, clean_run, finish

In = TypeVar("In", bound=JobMessage)
Out = TypeVar("Out", bound=Message)

JobHandler = Callable[[Job, In], AsyncIterator[Out]]
"""A handler that is given its message's job as it stands."""


class Refusal(Exception):
    """Raised by a stage: the job cannot be done, for this reason, however often it is tried."""


@dataclass(frozen=True)
class Resources:
    """What a stage may use.

    Attributes:
        store: Documents and parts.
        generators: Names of the generators that this process serves.
        slice_s: Longest time that one message may fit or train, in seconds.
        window: Shards of a job that may be on their way at a time.
        active_jobs: Jobs that may be under way at a time.
        turn_s: Longest time that one message may wait for its job's turn, in seconds.
        job_deadline_s: Seconds that a job has which names no deadline; None: any number.

    """

    store: Store
    generators: tuple[str, ...]
    slice_s: float = 5.0
    window: int = 32
    active_jobs: int = 64
    turn_s: float = 5.0
    job_deadline_s: float | None = None

    def due(self) -> Callable[[], bool]:
        """Return a function that turns true once a slice from now is used up."""
        end = time.monotonic() + self.slice_s
        return lambda: time.monotonic() >= end

    def on_jobs(
        self, stage: str, handle: JobHandler[In, Out], *, even_completed: bool = False
    ) -> Callable[[In], AsyncIterator[Out | Progress]]:
        """Return a handler for messages of jobs that go on.

        A message of an earlier attempt, or of a job that is over, ends here, and what the attempt left behind is
        removed once more: whoever ended it may have been killed half-way. So is what the handler kept for an attempt
        that ended meanwhile. A Refusal, something named that is not there, or a deadline that is past fails the job.
        `even_completed`: the stage that completes jobs must be able to repeat itself.
        """

        async def guarded(message: In) -> AsyncIterator[Out | Progress]:
            job = await self._cleared(message)
            if message.attempt != job.attempt:
                return
            if job.is_over and not (even_completed and job.state == "completed"):
                yield report(job, stage)
                return
            try:
                self._check_deadline(job)
                async for output in handle(job, message):
                    yield _of_attempt(output, message.attempt)
                await self._cleared(message)
            except (Refusal, NotFound) as refusal:
                yield report(await finish(self.store, job, "failed", str(refusal)), stage)

        return guarded

    def overdue(self, job: Job) -> str:
        """Return why a job is out of time, or nothing. One that is about to be released is let finish.

        By the wall clock, as its publisher's was: one that is set forward ends jobs early, set back late.
        """
        limit_s = job.spec.deadline_s or self.job_deadline_s
        if limit_s is None or job.is_over or job.state == "releasing":
            return ""
        if datetime.now(UTC) - job.asked <= timedelta(seconds=limit_s):
            return ""
        return f"deadline: not over {limit_s:g} s after it was asked for; it was {job.state}"

    def _check_deadline(self, job: Job) -> None:
        if reason := self.overdue(job):
            raise Refusal(reason)

    async def _cleared(self, message: JobMessage) -> Job:
        """Return the message's job, without what the message's attempt left behind if that is over."""
        job = await self.store.get(Job, message.job)
        if message.attempt < job.attempt:
            await clean_run(self.store, message.run, keeps_set=False)
        elif message.attempt == job.attempt and job.is_over:
            await clean(self.store, job)
        return job


def _of_attempt(output: Out, attempt: int) -> Out:
    """Return an output on behalf of its message's attempt."""
    if not isinstance(output, JobMessage) or output.attempt == attempt:
        return output
    return output.model_copy(update={"attempt": attempt})


async def fail(store: Store, bus: Bus, job: Job, stage: str, reason: str) -> None:
    """End a job that cannot be done, and tell who watches it."""
    job = await finish(store, job, "failed", reason)
    await bus.publish(report(job, stage))


def report(job: Job, stage: str, done: float = 0, total: float = 0, note: str = "") -> Progress:
    """Return how far a job is, for people."""
    note = note or job.reason
    return Progress(
        job=job.id, stage=stage, state=job.state, done=done, total=total, note=note[:1024]
    )


def code_version() -> str:
    """Return the version of this distribution."""
    return version("rdg-bus")
