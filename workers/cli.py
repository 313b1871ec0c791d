"""The verbs that start a process: `rdg worker` and `rdg up`."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from bus.errors import BusUnavailable
from schemas.settings import Settings
from store.errors import StoreUnavailable
from workers.hangs import leave, watched
from workers.logs import configure, redacted
from workers.pipeline import installed
from workers.process import up as run_up
from workers.process import work

BusUrl = Annotated[str, typer.Option("--bus", help="amqp://… or unix:///path. [env: RDG_BUS]")]
StoreUrl = Annotated[
    str, typer.Option("--store", help="mongodb://… or sqlite:///path. [env: RDG_STORE]")
]
LogLevel = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]


def worker(
    stages: Annotated[list[str], typer.Argument(help=f"Of: {', '.join(installed())}.")],
    bus: BusUrl = "",
    store: StoreUrl = "",
    log_level: LogLevel = "info",
) -> None:
    """Work on some stages of the pipeline, beside any number of other workers.

    A stage with routes can be cut down to one: `generation.gmm`. SIGTERM finishes what runs and exits 0.

    Example: rdg worker generation prediction --bus amqp://guest:guest@localhost/ --store mongodb://localhost/rdg
    """
    with _errors_in_one_line():
        settings = _settings(bus=bus, store=store)
        _run(lambda stop: work(settings, stages, stop), settings, log_level)


def up(
    home: Annotated[
        Path | None, typer.Option(help="Folder of the bus's socket and the store. [env: RDG_HOME]")
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Run the whole system in this process: nothing to install, nothing listens on the network.

    Other commands on this machine reach it through a socket in its home folder.

    Example: rdg up
    """
    with _errors_in_one_line():
        settings = _settings(home=home)
        _run(lambda stop: run_up(settings, stop), settings, log_level)


def _settings(**flags: Any) -> Settings:
    """Return the settings of the environment and of the flags that were given."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value})
    except ValidationError as error:  # whose own text shows the values, and some are secret
        wrong = [f"RDG_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        raise ValueError("; ".join(wrong)) from None


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """End the process with a line and the exit code that every `rdg` command has for such an error."""
    try:
        yield
    except (BusUnavailable, StoreUnavailable) as error:
        _fail(error, 2)
    except ValueError as error:
        _fail(error, 4)
    except Exception as error:
        leave(1, error)
        raise


def _fail(error: Exception, exit_code: int) -> NoReturn:
    typer.echo(f"error: {' '.join(redacted(str(error)).split())}", err=True)
    leave(exit_code)
    raise typer.Exit(exit_code) from error


def _run(
    main: Callable[[asyncio.Event], Awaitable[None]], settings: Settings, log_level: str
) -> None:
    configure(log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_told(main, settings.deadline_s))


async def _until_told(main: Callable[[asyncio.Event], Awaitable[None]], deadline_s: float) -> None:
    """Run `main` with an event that the first SIGTERM or SIGINT sets; the second ends the process at once.

    What hangs in it for longer than the deadline ends the process, too: see workers/hangs.py.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_once, loop, stop)
    async with watched(deadline_s, stop):
        await main(stop)


def _stop_once(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    stop.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed: a tenth more messages a second."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
