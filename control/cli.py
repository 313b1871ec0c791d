"""The `rdg` command: a table of nouns, each imported when it is named, and the way every command ends.

Packages of others mount theirs by an entry point in the group `rdg.commands`: a typer app or a function. Only typer
and the standard library are imported here, because a device has no more, and because people wait for it.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

GROUP = "rdg.commands"
OWN = {
    "data": "control.commands.data:app",
    "model": "control.commands.model:app",
    "generator": "control.commands.generator:app",
    "job": "control.commands.job:app",
    "review": "control.commands.review:app",
    "release": "control.commands.release:app",
    "device": "control.commands.device:app",
    "monitor": "control.commands.monitor:app",
    "dlq": "control.commands.dlq:app",
    "keys": "control.commands.keys:app",
    "doctor": "control.commands.doctor:app",
    "demo": "control.demo:demo",
}
SUMMARIES = {
    "data": "Add, list, show and delete data sets.",
    "model": "Train models, list them, see where a version comes from.",
    "generator": "Fit generators of rehearsal data, and list them.",
    "job": "Submit rehearsal jobs, watch, cancel and retry them.",
    "review": "Approve or reject rehearsal sets that wait for a person.",
    "release": "List and show what went out to devices.",
    "device": "List devices and what they run.",
    "monitor": "Rehearse when a model forgets or its world drifts.",
    "dlq": "List, show, replay and purge dead letters.",
    "keys": "Make, rotate and list the keys that seal message bodies.",
    "doctor": "Check this machine, the bus, the store and the workers.",
    "demo": "See it work, from data to a released model, in one process.",
    "up": "Run the whole system in one process.",
    "worker": "Work on some stages of the pipeline.",
    "agent": "Run a model on a device and keep it up to date.",
}


class Mounted(TyperCommand):
    """A command that is imported when it is used; until then, a name and a line of help."""

    def __init__(self, point: EntryPoint) -> None:
        package = point.dist.name if point.dist else "control"
        super().__init__(point.name, help=SUMMARIES.get(point.name, f"From {package}."))
        self._point = point

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Hand over to the real command. A noun without a verb shows its help."""
        command = _loaded(self._point)
        has_verbs = isinstance(command, TyperGroup)
        return command.make_context(info_name, args or ["--help"] * has_verbs, parent, **extra)


app = typer.Typer(
    help="Keeps the models on a fleet of edge devices learning without forgetting.",
    epilog="\b\nStart with:\n  rdg demo\n  rdg doctor",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"rdg {version('rdg-bus')}")
        raise typer.Exit


VersionFlag = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
]


@app.callback()
def _root(_version: VersionFlag = False) -> None:
    return None


def main() -> None:
    """Run the command of this process's arguments; SIGTERM ends it as SIGINT does, with a code of its own."""
    told: list[int] = []

    def end(number: int, _frame: object) -> None:
        told.append(128 + number)
        # An event loop takes it as a cancellation, not in mid-step.
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, end)
    # In the background of a script it would be ignored, and with it what SIGTERM becomes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run(sys.argv[1:])
    sys.exit(told[0] if told else code)


def run(args: Sequence[str]) -> int:
    """Run a command and return its exit code; see control/failures.py."""
    try:
        code = root().main(list(args) or ["--help"], "rdg", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  the one place: whatever goes wrong is said in one line
        return _report(error, is_json=_wants_json(args))
    return code if isinstance(code, int) else 0


def root() -> TyperGroup:
    """Return the whole command: our nouns, then those of entry points."""
    command = cast(TyperGroup, get_command(app))
    for name, value in OWN.items():
        command.add_command(Mounted(EntryPoint(name, value, GROUP)))
    for point in entry_points(group=GROUP):
        if point.name not in OWN:
            command.add_command(Mounted(point))
    return command


def _report(error: Exception, *, is_json: bool) -> int:
    from control.failures import explain

    if "RDG_DEBUG" in os.environ:
        traceback.print_exception(error)
    failure = explain(error)
    if is_json:
        envelope = {
            "schema_version": 1,
            "status": "error",
            "error_code": failure.error_code,
            "message": failure.message,
            "hint": failure.hint,
        }
        typer.echo(json.dumps(envelope, ensure_ascii=False), err=True)
    else:
        hint = f"; {failure.hint}" if failure.hint else ""
        typer.echo(f"error: {failure.message}{hint}", err=True)
    return failure.exit_code


def _wants_json(args: Sequence[str]) -> bool:
    """Return whether JSON was asked for: known even where the arguments cannot be read."""
    joined = " ".join(args)
    return any(f"--format{between}json" in joined for between in " =")


def _loaded(point: EntryPoint) -> Any:
    target = point.load()
    if not isinstance(target, typer.Typer):
        function = target
        target = typer.Typer(
            add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        target.command(point.name)(function)
    return get_command(target)


if __name__ == "__main__":
    main()
