"""`rdg agent`: run the agent, ask what it keeps, predict without a bus.

Data goes to stdout, everything for people to stderr. Exit codes: 0 done, 1 no (nothing to run, already running),
2 connection, 3 timeout, 4 arguments or input that cannot be used, 5 a bug. `run` waits for its bus, so 2 and 3 are
never its own.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from bus.tasks import tasks
from edge_agent.agent import Agent
from edge_agent.errors import AgentError, Invalid, NoModel
from edge_agent.inputs import read_samples
from edge_agent.model import Answer, Model
from edge_agent.settings import checked_name, device_name, read_settings, state_folder
from edge_agent.slots import Slots, opened
from schemas.settings import Settings

app = typer.Typer(
    help="Run one model on this device, and keep it up to date.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Format = Literal["table", "json", "jsonl"]
DeviceFlag = Annotated[
    str, typer.Option("--device", help="Name of this device; by default the host's.")
]
StateFlag = Annotated[
    Path | None, typer.Option("--state", help="Folder; by default RDG_HOME/agents/DEVICE.")
]
FormatFlag = Annotated[Format, typer.Option("--format", help="Of the data on stdout.")]


@app.command()
def run(
    model: Annotated[str, typer.Option(help="Name of the model to follow.")],
    device: DeviceFlag = "",
    bus: Annotated[str, typer.Option(help="amqp://… or unix:///path. [env: RDG_BUS]")] = "",
    state: StateFlag = None,
) -> None:
    """Follow a model's releases until SIGTERM or SIGINT.

    Needs no bus to start, and keeps what it has when the bus is away.

    Example: rdg agent run --model digits --device pump-7
    """
    with _exit_codes():
        _log_to_stderr(logging.INFO)
        settings = read_settings(bus)
        name = device_name(device)
        with opened(state or state_folder(settings, name)) as slots:
            agent = Agent(name, checked_name("--model", model), slots, settings.report_s)
            asyncio.run(_until_told(agent, settings))
        typer.echo(f"agent {name} stopped", err=True)


@app.command()
def predict(
    file: Annotated[Path, typer.Argument(help=".npy, .npz or an image: one sample or many.")],
    device: DeviceFlag = "",
    state: StateFlag = None,
    output: FormatFlag = "table",
) -> None:
    """Classify samples by the version that this device keeps; needs no bus and no running agent.

    Example: rdg agent predict samples.npy --device pump-7 --format jsonl
    """
    with _exit_codes():
        model = _kept(device, state)
        answer = model.predict(read_samples(file, model.manifest.shape))
        _print(_rows(answer), output)


@app.command()
def show(device: DeviceFlag = "", state: StateFlag = None, output: FormatFlag = "table") -> None:
    """Print which version this device keeps.

    Example: rdg agent show --device pump-7 --format json
    """
    with _exit_codes():
        model = _kept(device, state)
        if output == "table":
            typer.echo(model.describe())
        else:
            typer.echo(model.manifest.model_dump_json(indent=2 if output == "json" else None))


def main() -> None:
    """Run the command line by itself: `python -m edge_agent`."""
    try:
        app(prog_name="python -m edge_agent")
    except SystemExit as end:
        sys.exit(4 if end.code == 2 else end.code)  # typer's own code for bad arguments
    except Exception:
        logging.exception("this is a bug in the agent; please report it")
        sys.exit(5)


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except AgentError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(4 if isinstance(error, Invalid) else 1) from error


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("rdg").setLevel(level)


async def _until_told(agent: Agent, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with tasks() as group:
        following = agent.run(settings.bus_url, settings.namespace, settings.tls)
        group.create_task(following, name="agent")
        await stop.wait()


def _kept(device: str, state: Path | None) -> Model:
    _log_to_stderr(logging.WARNING)
    folder = state or state_folder(read_settings(), device_name(device))
    model = Slots(folder).load()
    if model is None:
        raise NoModel(f"{folder} holds no model: run `rdg agent run --model NAME` until one comes")
    return model


def _rows(answer: Answer) -> Iterator[dict[str, int | str | float]]:
    pairs = zip(answer.labels, answer.confidence.tolist(), strict=True)
    for sample, (label, confidence) in enumerate(pairs):
        yield {"sample": sample, "label": label, "confidence": round(confidence, 6)}


def _print(rows: Iterable[dict[str, int | str | float]], output: Format) -> None:
    if output == "json":
        typer.echo(json.dumps(list(rows), ensure_ascii=False))
    elif output == "jsonl":
        typer.echo("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        typer.echo("sample  confidence  label")
        for row in rows:
            typer.echo(f"{row['sample']:>6}  {row['confidence']:>10.4f}  {row['label']}")
