"""`rdg dlq`: dead letters, the messages that a stage could not do."""

from typing import Annotated

import typer

from control.commands.data import confirm
from control.commands.flags import Force
from control.output import Columns, described, note, print_all, print_lines, print_one
from control.session import Session, noun, verb
from control.verbs import dead_letters
from control.verbs.dead_letters import Choice, Letter, Taken
from control.verbs.errors import Invalid

app = noun("Dead letters: messages that a stage could not do.")

Queue = Annotated[str | None, typer.Option(help="Only those of this queue.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of messages.", show_default=False)]
Limit = Annotated[int, typer.Option(help="At most so many, the last that died first.")]

COLUMNS: Columns[Letter] = {
    "id": lambda each: each.id,
    "queue": lambda each: each.queue,
    "job": lambda each: each.job,
    "stage": lambda each: each.stage,
    "reason": lambda each: each.reason,
    "attempt": lambda each: each.attempt,
    "died": lambda each: each.died,
    "bytes": lambda each: each.size_bytes,
}


@verb(app, "list", example="rdg dlq list --limit 20")
async def list_(session: Session, queue: Queue = None, limit: Limit = 100) -> None:
    """List dead letters of all queues, with the reason of each; over RabbitMQ out of the first 1,000 of a queue."""
    async with session.connections() as (_, bus):
        found = await dead_letters.page(bus.transport, Choice(queue), limit)
    print_all(found, COLUMNS, session.format, "no dead letters")


@verb(app, "show", example="rdg dlq show 6f1c0f5e-1d0b-5c55-8f0e-3b8d0d7c9a11")
async def show(
    session: Session,
    message: Annotated[str, typer.Argument(metavar="ID", help="Id of the message.")],
    queue: Queue = None,
) -> None:
    """Show one dead letter: its headers, the traceback, and what its body holds."""
    async with session.connections() as (_, bus):
        detail = await dead_letters.show(bus, message, queue)
    body = {f"body {name}": value for name, value in (detail.body or {}).items()}
    lines = {**described(detail.letter, COLUMNS), **detail.headers, **body}
    print_one(detail, {**lines, "unreadable": detail.problem}, session.format)
    if session.format == "table":
        print_lines(detail.trace)


@verb(app, "replay", example="rdg dlq replay --all")
async def replay(
    session: Session,
    ids: Ids = None,
    queue: Queue = None,
    everything: Annotated[bool, typer.Option("--all", help="Those of every queue.")] = False,
) -> None:
    """Put dead letters back into the queues they died in; what was done before is not done twice."""
    if not (ids or queue or everything):
        raise Invalid("--all", "no dead letter is named", "give ids, --queue or --all")
    async with session.connections() as (store, bus):
        taken = await dead_letters.replay(store, bus.transport, _choice(queue, ids))
    for job in taken.over:
        note(f"{job} is over: its messages will be ignored; `rdg job retry {job}` asks again")
    _tell(taken, "put back", session)


@verb(app, "purge", example="rdg dlq purge --force")
async def purge(
    session: Session, ids: Ids = None, queue: Queue = None, force: Force = False
) -> None:
    """Delete dead letters for ever: those with these ids, or all of a queue or of every queue."""
    where = queue or "every queue"
    confirm(f"delete all dead letters of {where} for good?", force or bool(ids))
    async with session.connections() as (_, bus):
        taken = await dead_letters.purge(bus.transport, _choice(queue, ids))
    _tell(taken, "deleted", session)


def _choice(queue: str | None, ids: list[str] | None) -> Choice:
    return Choice(queue, tuple(ids) if ids else None)


def _tell(taken: Taken, what: str, session: Session) -> None:
    if taken.missing:
        note(f"not among the dead letters: {', '.join(taken.missing)}")
    note(f"{taken.count} {what}")
    if session.format != "table":
        print_one(taken, {}, session.format)
