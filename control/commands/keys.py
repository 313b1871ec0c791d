"""`rdg keys`: the file of keys that services seal message bodies with. No verb shows a secret."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from typer import Argument

from bus import keyring
from bus.keyring import Key
from control.output import Columns, note, print_all
from control.session import Session, noun, verb
from control.verbs.errors import Invalid

T = TypeVar("T")

app = noun("Keys that message bodies are sealed with between services.")

File = Annotated[Path, Argument(help="The file of keys; RDG_KEYS names it to every process.")]
START_ALL = "give the file to every process and start it again"


class KeyRow(BaseModel):
    """What may be known of a key."""

    model_config = ConfigDict(frozen=True)

    id: str
    created: datetime
    does: Literal["seals and opens", "opens"]


COLUMNS: Columns[KeyRow] = {
    "key": lambda each: each.id,
    "created": lambda each: each.created,
    "does": lambda each: each.does,
}


@verb(app, "create", example="rdg keys create new.keys")
async def create(session: Session, file: File) -> None:
    """Make a file with one new key, which only you may read."""
    key = await _done(keyring.create, file)
    _show((key,), session)
    note(
        f"set RDG_KEYS={file} for every process but devices; docs/reliability.md says in which order"
    )


@verb(app, "rotate", example="rdg keys rotate fleet.keys")
async def rotate(session: Session, file: File) -> None:
    """Take the next step of three to a new key: add it, let it seal, drop the old. Start all processes in between."""
    before = await _done(keyring.read_keys, file)
    keys = await _done(keyring.rotate, file)
    _show(keys, session)
    if len(keys) > len(before):
        note(f"{keys[-1].id} opens. Now {START_ALL}, then rotate again")
    elif len(keys) == len(before):
        note(
            f"{keys[0].id} seals. Now {START_ALL}, wait until no older message waits, then rotate again"
        )
    else:
        note(f"only {keys[0].id} is left, and what others sealed is lost. Now {START_ALL}")


@verb(app, "list", example="rdg keys list fleet.keys")
async def list_(session: Session, file: File) -> None:
    """List the keys of a file, and what each does."""
    _show(await _done(keyring.read_keys, file), session)


async def _done(work: Callable[[Path], T], file: Path) -> T:
    try:
        return await asyncio.to_thread(work, file)
    except ValueError as error:
        raise Invalid("FILE", str(error), "see `rdg keys --help`") from None


def _show(keys: tuple[Key, ...], session: Session) -> None:
    rows = [
        KeyRow(id=key.id, created=key.created, does="opens" if place else "seals and opens")
        for place, key in enumerate(keys)
    ]
    print_all(rows, COLUMNS, session.format, "")
