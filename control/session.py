"""What every verb of the command line has in common: its flags, its connections, and that it runs a loop.

    @verb(app, "show", example="rdg job show j-1a2b3c4d5e6f")
    async def show(session: Session, job: JobArgument) -> None:

A verb is given a session; its command has the session's flags besides its own. A flag wins over the environment.
Flags that belong together are one argument of a verb: `Annotated[What, Group(read)]`, where the keyword arguments of
`read` are the flags, and what it returns is the argument.
"""

import asyncio
import inspect
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, get_args

import typer

from bus.bus import Bus
from bus.seal import read_seal
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

        async with open_store(self.settings.store_url, tls=self.settings.tls) as store:
            yield store

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[tuple[Store, Bus]]:
        """Open the store and the bus of the settings."""
        from bus.connect import connect

        settings = self.settings
        seal = await asyncio.to_thread(read_seal, settings.keys, settings.sealing)
        async with (
            self.store() as store,
            connect(settings.bus_url, settings.namespace, settings.tls) as transport,
        ):
            source = f"rdg/{socket.gethostname()}/{os.getpid()}"
            yield store, Bus(transport, source, store, settings.inline_bytes, seal)


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


@dataclass(frozen=True)
class Group:
    """Flags that are one argument of a verb."""

    read: Callable[..., Any]

    @property
    def flags(self) -> Mapping[str, inspect.Parameter]:
        """The flags, as parameters of a command."""
        return inspect.signature(self.read).parameters

    def take(self, arguments: dict[str, Any]) -> Any:
        """Return what the flags mean, and remove them from a command's arguments."""
        return self.read(**{name: arguments.pop(name) for name in self.flags})


SESSION = Group(_flags)


def _command(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Return a plain function with the parameters of the verb and of a session."""
    own = list(inspect.signature(function).parameters.values())[1:]
    groups = {each.name: group for each in own if (group := _group_of(each))}

    def run(**arguments: Any) -> None:
        session = SESSION.take(arguments)
        arguments |= {name: group.take(arguments) for name, group in groups.items()}
        before = logging.root.manager.disable
        if "RDG_DEBUG" not in os.environ:
            logging.disable(logging.CRITICAL)  # what goes wrong is said once, by its error
        try:
            asyncio.run(function(session, **arguments))
        finally:
            logging.disable(before)

    parameters = [flag for each in own for flag in _flags_of(each)] + [*SESSION.flags.values()]
    by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _group_of(parameter: inspect.Parameter) -> Group | None:
    found = [each for each in get_args(parameter.annotation) if isinstance(each, Group)]
    return found[0] if found else None


def _flags_of(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return what a verb's parameter is on the command line: itself, or the flags of its group."""
    group = _group_of(parameter)
    return [*group.flags.values()] if group else [parameter]
