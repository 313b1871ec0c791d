"""What the verbs that make a job have in common: submit it, and wait for it if asked to."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from bus.bus import Bus
from control.commands import flags
from control.output import note, print_one
from control.session import Group, Session
from control.verbs import jobs, models
from control.verbs.errors import Refused
from schemas.documents import Job
from schemas.job import FitSpec, Spec
from store.base import Store


@dataclass(frozen=True)
class Patience:
    """Whether to wait for the end, and how many seconds at most."""

    wait: bool
    timeout_s: float | None


def _patience(*, wait: flags.Wait = False, timeout_s: flags.Timeout = None) -> Patience:
    if timeout_s is not None and not wait:
        raise typer.BadParameter("--timeout says how long to --wait: give both, or neither")
    return Patience(wait, timeout_s)


PatienceFlags = Annotated[Patience, Group(_patience)]


async def submit(session: Session, spec: Spec, token: str, patience: Patience) -> None:
    """Submit a job and tell its id on stdout; see `follow_up`."""
    async with session.connections() as (store, bus):
        job = await jobs.submit(store, bus, spec, token)
        await follow_up(session, store, bus, job, patience)


async def follow_up(session: Session, store: Store, bus: Bus, job: Job, patience: Patience) -> None:
    """Tell a job that was asked for: its id at once for a person, for a script the document it came to."""
    if session.format == "table":
        typer.echo(job.id)
    if patience.wait:
        job = await to_the_end(store, bus, job.id, patience.timeout_s)
    else:
        note(f"{job.id} is {job.state}; follow it with: rdg job watch {job.id}")
    if session.format != "table":
        print_one(job, {}, session.format)
    if patience.wait:
        check_result(job)


async def to_the_end(store: Store, bus: Bus, key: str, timeout_s: float | None) -> Job:
    """Show a job's progress until it is over, say how it ended, and return it."""
    from control.progress_bars import job_bars

    try:
        with job_bars() as show:
            job = await jobs.wait(store, bus, key, timeout_s, show)
    except asyncio.CancelledError:  # Ctrl-C
        note(f"{key} goes on; see it with: rdg job watch {key}, end it with: rdg job cancel {key}")
        raise
    if job.state == "completed":
        seconds = (job.updated - job.created).total_seconds()
        note(f"{job.id} completed after {seconds:.0f} s: {await _result(store, job)}")
    return job


async def _result(store: Store, job: Job) -> str:
    if job.result is None or isinstance(job.spec, FitSpec):
        return str(job.result)
    scores = (await models.version(store, job.result)).scores
    return f"{job.result}, accuracy {scores.accuracy:.3g} ({scores.measured_on})"


def check_result(job: Job) -> None:
    """Raise Refused, with the job's reason, unless it has a result."""
    if job.state != "completed":
        problem = f"{job.id} {job.state}: {job.reason}" if job.reason else f"{job.id} {job.state}"
        raise Refused(problem, f"`rdg job retry {job.id}` tries again")
