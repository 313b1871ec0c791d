"""`rdg review`: rehearsal sets that wait for a person."""

import getpass
from typing import Annotated

import typer

from control.commands import flags
from control.commands.figures import figures_of
from control.commands.flags import JobArgument
from control.output import Columns, note, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import reviews
from control.verbs.reviews import Waiting
from schemas.documents import Fitted, RehearsalSet

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
    "least fidelity": lambda each: min(_likeness(each, "fidelity"), default=None),
    "least coverage": lambda each: min(_likeness(each, "coverage"), default=None),
    "most drift": lambda each: max(_likeness(each, "drift"), default=None),
    "since": lambda each: each.rehearsal_set.created,
}


@verb(app, "list", example="rdg review list")
async def list_(session: Session, limit: flags.Limit = 100, before: flags.Before = None) -> None:
    """List the jobs that wait for a decision, with the figures of their samples."""
    async with session.store() as store:
        found = await reviews.page(store, limit, before)
    print_all(found, COLUMNS, session.format, "nothing waits for a review")


@verb(app, "show", example="rdg review show j-1a2b3c4d5e6f")
async def show(session: Session, job: JobArgument) -> None:
    """Show the figures of a job's rehearsal set, class by class, and of the fits that it is from.

    What they mean: docs/learning.md.
    """
    async with session.store() as store:
        kept, fits = await reviews.show(store, job), await reviews.fits(store, job)
    lines: dict[str, object] = {"generator": kept.generator, "status": kept.status}
    lines |= {name: _figures(kept, name) for name in kept.counts}
    lines |= {f"fit {fit.id}": _fit_figures(fit) for fit in fits}
    print_one(kept, lines, session.format)


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


def _likeness(waiting: Waiting, figure: str) -> list[float]:
    return [getattr(each, figure) for each in waiting.rehearsal_set.likeness.values()]


def _figures(kept: RehearsalSet, name: str) -> str:
    """Return what is known of one class of a set."""
    figures: dict[str, float | None] = {
        "confidence": kept.mean_confidence.get(name),
        "diversity": kept.distances.get(name),
        "near duplicates": kept.near_duplicates.get(name),
        "duplicates": kept.duplicates.get(name),
        "corrected": kept.corrected.get(name),
    }
    if like := kept.likeness.get(name):
        figures |= {"fidelity": like.fidelity, "coverage": like.coverage, "drift": like.drift}
    known = [f"{figure} {value:.3g}" for figure, value in figures.items() if value is not None]
    return ", ".join([f"{kept.counts[name]} samples", *known])


def _fit_figures(fit: Fitted) -> str:
    """Return what a fit measured before its data may have gone, of samples that no filter had seen."""
    found = figures_of(fit)
    return (
        ", ".join(f"{name} {figure}" for name, figure in found.items() if figure) or "not measured"
    )


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
