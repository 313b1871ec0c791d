"""`rdg monitor`: rehearse when devices see something else than the model was released for."""

from typing import Annotated

import typer

from control.commands import flags
from control.commands.flags import Fields, given, help_of
from control.commands.rehearsal import Ended, Gated, Rehearsed, Reviewed, Trained
from control.output import Columns, described, print_all, print_one
from control.session import Group, Session, noun, verb
from control.verbs import monitors
from schemas.documents import Monitor
from schemas.job import RehearsalSpec
from schemas.monitoring import MonitorPolicy, Watch

app = noun("Monitors: ask for a rehearsal when a model forgets or its world drifts.")

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]

COLUMNS: Columns[Monitor] = {
    "model": lambda each: each.id,
    "state": lambda each: each.state,
    "version": lambda each: each.watch and each.watch.version,
    "level": lambda each: each.watch and each.watch.level,
    "alarms": lambda each: each.watch and each.watch.alarms,
}
WATCH: Columns[Watch] = {
    "answers": lambda each: each.counted.answers if each.counted else 0,
    "reference": lambda each: each.reference.answers if each.reference else 0,
    "armed": lambda each: each.armed,
    "last alarm": lambda each: each.fired,
    "newest window": lambda each: each.figures,
}


def _limits(
    *,
    window: Annotated[int | None, typer.Option(help=help_of(MonitorPolicy, "window"))] = None,
    reference: Annotated[int | None, typer.Option(help=help_of(MonitorPolicy, "reference"))] = None,
    max_fall: Annotated[float | None, typer.Option(help=help_of(MonitorPolicy, "max_fall"))] = None,
    max_doubt: Annotated[
        float | None, typer.Option(help=help_of(MonitorPolicy, "max_doubt"))
    ] = None,
    max_shift: Annotated[
        float | None, typer.Option(help=help_of(MonitorPolicy, "max_shift"))
    ] = None,
    windows: Annotated[int | None, typer.Option(help=help_of(MonitorPolicy, "windows"))] = None,
    rearm_at: Annotated[float | None, typer.Option(help=help_of(MonitorPolicy, "rearm_at"))] = None,
    cooldown: Annotated[
        float | None, typer.Option(help=help_of(MonitorPolicy, "cooldown_s"))
    ] = None,
) -> Fields:
    return given(
        window=window,
        reference=reference,
        max_fall=max_fall,
        max_doubt=max_doubt,
        max_shift=max_shift,
        windows=windows,
        rearm_at=rearm_at,
        cooldown_s=cooldown,
    )


@verb(
    app,
    "set",
    example="rdg monitor set digits --new-data five-to-nine --generator gmm --probe digits --max-fall 0.05",
)
async def set_(
    session: Session,
    model: ModelArgument,
    *,
    new_data: Annotated[str, typer.Option(help="Data set to learn, as it is by then.")],
    limits: Annotated[Fields, Group(_limits)],
    rehearsed: Rehearsed,
    review: Reviewed,
    training: Trained,
    gates: Gated,
    outcome: Ended,
) -> None:
    """Watch a model, and say which job to submit on an alarm; checked as if it were submitted now."""
    fields = given(model=model, new_data=new_data, review=review, training=training, gates=gates)
    spec = RehearsalSpec.model_validate({**fields, **rehearsed, **outcome})
    policy = MonitorPolicy.model_validate({**limits, "spec": spec})
    async with session.store() as store:
        _print(await monitors.put(store, model, policy), session)


@verb(app, "list", example="rdg monitor list")
async def list_(session: Session, limit: flags.Limit = 100, before: flags.Before = None) -> None:
    """List monitors, and how far each is from an alarm."""
    async with session.store() as store:
        found = await monitors.page(store, limit, before)
    print_all(found, COLUMNS, session.format, "no monitors yet: make one with `rdg monitor set`")


@verb(app, "show", example="rdg monitor show digits")
async def show(session: Session, model: ModelArgument) -> None:
    """Show a model's monitor: its policy, how far it is, and the figures of its newest window."""
    async with session.store() as store:
        _print(await monitors.show(store, model), session)


@verb(app, "off", example="rdg monitor off digits")
async def off(session: Session, model: ModelArgument) -> None:
    """Stop watching a model; `set` goes on. Jobs that were asked for go on."""
    async with session.store() as store:
        _print(await monitors.off(store, model), session)


def _print(monitor: Monitor, session: Session) -> None:
    watched = described(monitor.watch, WATCH) if monitor.watch else {}
    limits = monitor.policy.model_dump(exclude={"spec"})
    job = monitor.policy.spec.model_dump(exclude={"model"}, exclude_defaults=True)
    lines = {**described(monitor, COLUMNS), **watched, **limits, "job": job}
    print_one(monitor, lines, session.format)
