"""`rdg job`: rehearsal jobs."""

from typing import Annotated

import typer

from control.commands import flags
from control.commands.flags import Fields, JobArgument, given
from control.commands.rehearsal import Ended, Gated, Rehearsed, Reviewed, Trained
from control.commands.submission import (
    PatienceFlags,
    check_result,
    follow_up,
    submit,
    to_the_end,
)
from control.output import Columns, described, note, print_all, print_one
from control.session import Group, Session, noun, verb
from control.verbs import jobs, watching
from schemas.documents import Job, JobState
from schemas.flow import Progress
from schemas.job import RehearsalSpec

app = noun("Rehearsal jobs: submit, watch, end, retry.")

COLUMNS: Columns[Job] = {
    "id": lambda each: each.id,
    "kind": lambda each: each.spec.kind,
    "model": lambda each: each.model,
    "state": lambda each: each.state,
    "attempt": lambda each: each.attempt,
    "result": lambda each: each.result,
    "reason": lambda each: each.reason,
    "created": lambda each: each.created,
}


def _start(
    *,
    base: Annotated[
        int | None, typer.Option(help="Version to start from. [default: the released one]")
    ] = None,
    architecture: flags.Architecture = None,
    from_scratch: flags.FromScratch = False,
) -> Fields:
    return given(base=base, architecture=architecture, from_scratch=from_scratch)


@verb(
    app,
    "submit",
    example="rdg job submit --model digits --generator gmm --classes 0-4 --new-data five-to-nine",
)
async def submit_(
    session: Session,
    *,
    model: flags.Model,
    new_data: Annotated[str, typer.Option(help="Data set to learn.")],
    rehearsed: Rehearsed,
    review: Reviewed,
    training: Trained,
    gates: Gated,
    start: Annotated[Fields, Group(_start)],
    outcome: Ended,
    token: flags.Token = "",
    patience: PatienceFlags,
) -> None:
    """Teach a model new data while it rehearses what it knows. Prints the job's id."""
    fields = given(model=model, new_data=new_data, review=review, training=training, gates=gates)
    spec = RehearsalSpec.model_validate({**fields, **rehearsed, **start, **outcome})
    await submit(session, spec, token, patience)


@verb(app, "list", example="rdg job list --state failed --limit 10")
async def list_(
    session: Session,
    model: flags.OfModel = None,
    state: Annotated[JobState | None, typer.Option(help="Only in this state.")] = None,
    limit: flags.Limit = 100,
    before: flags.Before = None,
) -> None:
    """List jobs, newest first."""
    async with session.store() as store:
        found = await jobs.page(store, limit, before, model=model, state=state)
    print_all(found, COLUMNS, session.format, "no such jobs")


@verb(app, "show", example="rdg job show j-1a2b3c4d5e6f")
async def show(session: Session, job: JobArgument) -> None:
    """Show one job: what it asks for, how far it is, what each stage has cost."""
    async with session.store() as store:
        detail = await jobs.show(store, job)
    asked = detail.job.spec.model_dump(mode="json", exclude_defaults=True)
    costs = {stage: _cost(detail.tallies, stage) for stage in _stages(detail)}
    lines = {**described(detail.job, COLUMNS), "cause": detail.job.cause, **asked, **costs}
    print_one(detail, lines, session.format)


@verb(app, "watch", example="rdg job watch j-1a2b3c4d5e6f --format jsonl")
async def watch(session: Session, job: JobArgument) -> None:
    """Show a job's progress until it is over; exits 0 whatever its end. `jsonl` gives every step."""
    async with session.connections() as (store, bus):
        if session.format == "table":
            ended = await to_the_end(store, bus, job, None)
            if ended.state != "completed":
                note(f"{job} {ended.state}: {ended.reason}")
            return
        async with watching.watch(bus, store, job) as steps:
            async for step in steps:
                print_step(step)


@verb(app, "wait", example="rdg job wait j-1a2b3c4d5e6f --timeout 600")
async def wait(session: Session, job: JobArgument, timeout_s: flags.Timeout = None) -> None:
    """Return when a job is over: exits 0 if it completed, 1 if not, 3 if it still goes on."""
    async with session.connections() as (store, bus):
        ended = await to_the_end(store, bus, job, timeout_s)
    if session.format != "table":
        print_one(ended, {}, session.format)
    check_result(ended)


@verb(app, "cancel", example="rdg job cancel j-1a2b3c4d5e6f")
async def cancel(session: Session, job: JobArgument) -> None:
    """End a job without a result, and delete what it made so far."""
    async with session.connections() as (store, bus):
        ended = await jobs.cancel(store, bus, job)
    print_one(ended, described(ended, COLUMNS), session.format)


@verb(app, "retry", example="rdg job retry j-1a2b3c4d5e6f")
async def retry(session: Session, job: JobArgument, patience: PatienceFlags) -> None:
    """Ask again for a job that failed, was cancelled or was rejected."""
    async with session.connections() as (store, bus):
        asked = await jobs.retry(store, bus, job)
        await follow_up(session, store, bus, asked, patience)


def print_step(step: Progress) -> None:
    """Print one step as a line of JSON."""
    typer.echo(step.model_dump_json(exclude={"id"}))


def _stages(detail: jobs.JobDetail) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in detail.tallies))


def _cost(tallies: dict[str, float], stage: str) -> str:
    messages, seconds, out = (
        tallies.get(f"{stage}.{name}", 0) for name in ("messages", "seconds", "bytes_out")
    )
    return f"{messages:.0f} messages, {seconds:.2f} s, {out / 1e6:.2f} MB out"
