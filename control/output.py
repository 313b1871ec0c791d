"""What goes to stdout, as a table for people or as JSON for scripts. Everything else goes to stderr.

`json` is one value: an object for one thing, an array for several; `jsonl` is one object a line. Their fields are
those of the documents in docs/formats/documents.json. A table is no interface: its columns may change.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import typer
from pydantic import BaseModel

from control.session import Format

T = TypeVar("T", bound=BaseModel)
Columns = Mapping[str, Callable[[T], object]]
"""A heading, and what to write under it."""

WIDE = 1000  # columns of a table that nobody looks at on a terminal: nothing is cut


def print_all(items: Sequence[T], columns: Columns[T], output: Format, empty: str) -> None:
    """Print several things; `empty` is said on stderr if a table would have no rows."""
    if output == "jsonl":
        for item in items:
            typer.echo(item.model_dump_json())
    elif output == "json":
        typer.echo(_indented([item.model_dump(mode="json") for item in items]))
    elif items:
        rows = [[_cell(write(item)) for write in columns.values()] for item in items]
        _print_table([heading.upper() for heading in columns], rows)
    else:
        note(empty)


def print_one(item: BaseModel, lines: Mapping[str, object], output: Format) -> None:
    """Print one thing; as a table, a line for each entry of `lines` that is not empty."""
    if output == "jsonl":
        typer.echo(item.model_dump_json())
    elif output == "json":
        typer.echo(_indented(item.model_dump(mode="json")))
    elif lines:
        cells = [[heading, _cell(value)] for heading, value in lines.items()]
        _print_table([], [cell for cell in cells if cell[1] != "-"])


def print_lines(text: str) -> None:
    """Print text of several lines, if there is any."""
    for line in text.splitlines():
        typer.echo(_printable(line))


def described(item: T, columns: Columns[T]) -> dict[str, object]:
    """Return what the columns say of one thing."""
    return {heading: write(item) for heading, write in columns.items()}


def note(text: str) -> None:
    """Say something to a person, on stderr."""
    typer.echo(_printable(text), err=True)


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, show_header=bool(headings))
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])  # text, so that nothing in it is markup
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def _cell(value: object) -> str:
    if value is None or value in ("", (), [], {}):
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return _printable(",".join(map(str, value)))
    if isinstance(value, dict):
        return _printable(", ".join(f"{name}={each}" for name, each in value.items()))
    return _printable(str(value))


def _printable(text: str) -> str:
    """Return text that cannot steer a terminal: a device's words are shown, not obeyed."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
