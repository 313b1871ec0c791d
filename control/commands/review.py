"""`rdg review`: rehearsal sets that wait for a person."""

import getpass
from typing import Annotated

import typer

from control.commands import flags
from control.commands.flags import JobArgument
from control.output import Columns, note, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import reviews
from control.verbs.reviews import Waiting

app = noun("Rehearsal sets that wait for a person's decision.")

Reviewer = Annotated[str | None, typer.Option(help="Who decides. [default: your login]")]
Reason = Annotated[str, typer.Option(help="Why; kept with the job.")]

COLUMNS: Columns[Waiting] = {
    "job": lambda each: each.job.id,
    "model": lambda each: each.job.model,
    "generator": lambda each: each.rehearsal_set.generator,
    "samples": lambda each: sum(each.rehearsal_set.counts.values()),
    "classes": lambda each: tuple(each.rehearsal_set.counts),
    "least confidence": lambda each: min(each.rehearsal_set.mean_confidence.values(), default=None),
    "balance": lambda each: each.rehearsal_set.balance,
    "since": lambda each: each.rehearsal_set.created,
}


@verb(app, "list", example="rdg review list")
async def list_(session: Session, limit: flags.Limit = 100, before: flags.Before = None) -> None:
    """List the jobs that wait for a decision, with the figures of their samples."""
    async with session.store() as store:
        found = await reviews.page(store, limit, before)
    print_all(found, COLUMNS, session.format, "nothing waits for a review")


@verb(app, "approve", example='rdg review approve j-1a2b3c4d5e6f --reason "looks right"')
async def approve(
    session: Session, job: JobArgument, reviewer: Reviewer = None, reason: Reason = ""
) -> None:
    """Let a job train on its rehearsal set."""
    await _decide(session, job, reviewer, reason, approved=True)


@verb(app, "reject", example='rdg review reject j-1a2b3c4d5e6f --reason "the fours are blurred"')
async def reject(
    session: Session, job: JobArgument, reviewer: Reviewer = None, reason: Reason = ""
) -> None:
    """End a job and delete its rehearsal set."""
    await _decide(session, job, reviewer, reason, approved=False)


async def _decide(
    session: Session, job: str, reviewer: str | None, reason: str, *, approved: bool
) -> None:
    who = reviewer or getpass.getuser()
    async with session.connections() as (store, bus):
        decided = await reviews.decide(
            store, bus, job, approved=approved, reviewer=who, reason=reason
        )
    note(f"{job} is {'approved' if approved else 'rejected'} by {who}")
    if session.format != "table":
        print_one(decided, {}, session.format)
