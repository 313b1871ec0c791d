"""What every verb of the command line has in common: its flags, its connections, and that it runs a loop.

    @verb(app, "show", example="rdg job show j-1a2b3c4d5e6f")
    async def show(session: Session, job: JobArgument) -> None:

A verb is given a session; its command has the session's flags besides its own. A flag wins over the environment.
"""

import asyncio
import inspect
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Literal, ParamSpec

import typer

from bus.bus import Bus
from schemas.settings import Settings
from store.base import Store

P = ParamSpec("P")
Verb = Callable[Concatenate["Session", P], Coroutine[Any, Any, None]]
Format = Literal["table", "json", "jsonl"]


@dataclass(frozen=True)
class Session:
    """One run of one command."""

    settings: Settings
    format: Format

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Open the store of the settings."""
        from store.connect import open_store

        async with open_store(self.settings.store_url) as store:
            yield store

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[tuple[Store, Bus]]:
        """Open the store and the bus of the settings."""
        from bus.connect import connect

        settings = self.settings
        async with (
            self.store() as store,
            connect(settings.bus_url, settings.namespace) as transport,
        ):
            source = f"rdg/{socket.gethostname()}/{os.getpid()}"
            yield store, Bus(transport, source, store, settings.inline_bytes)


def noun(summary: str) -> typer.Typer:
    """Return a command that verbs are mounted on."""
    app = typer.Typer(
        help=summary, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.callback()(lambda: None)  # with one verb too, it is a noun with a verb
    return app


def verb(app: typer.Typer, name: str, example: str) -> Callable[[Verb[P]], Verb[P]]:
    """Mount an async function as a verb.

    Args:
        app: Of the noun.
        name: Of the verb.
        example: A command line that works as it stands; it ends the help.

    """

    def mount(function: Verb[P]) -> Verb[P]:
        app.command(name, epilog=f"\b\nExample:\n  {example}")(_command(function))
        return function

    return mount


def _flags(
    *,
    bus: Annotated[str, typer.Option(help="amqp://… or unix:///path. [env: RDG_BUS]")] = "",
    store: Annotated[
        str, typer.Option(help="mongodb://… or sqlite:///path. [env: RDG_STORE]")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Folder of the embedded bus and store. [env: RDG_HOME]")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Of the data on stdout.")] = "table",
) -> Session:
    flags: dict[str, Any] = {"bus": bus, "store": store, "home": home}
    return Session(Settings(**{name: value for name, value in flags.items() if value}), output)


FLAGS = inspect.signature(_flags).parameters


def _command(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Return a plain function with the parameters of the verb and of a session."""

    def run(**arguments: Any) -> None:
        session = _flags(**{name: arguments.pop(name) for name in FLAGS})
        before = logging.root.manager.disable
        if "RDG_DEBUG" not in os.environ:
            logging.disable(logging.CRITICAL)  # what goes wrong is said once, by its error
        try:
            asyncio.run(function(session, **arguments))
        finally:
            logging.disable(before)

    own = list(inspect.signature(function).parameters.values())[1:]
    parameters = [*own, *FLAGS.values()]
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
