"""`rdg data`: data sets."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from control.arguments import parse_size
from control.commands.flags import Before, Force, Limit, classes_of
from control.output import Columns, described, note, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import datasets
from control.verbs.errors import Invalid
from schemas.documents import Dataset, SamplePart

app = noun("Data sets: real samples, by class, in the store.")

NameArgument = Annotated[str, typer.Argument(help="Name of the data set.")]

COLUMNS: Columns[Dataset] = {
    "name": lambda each: each.id,
    "classes": lambda each: each.classes,
    "train": lambda each: _count(each.train),
    "test": lambda each: _count(each.test),
    "sample": lambda each: f"{each.dtype} {'x'.join(map(str, each.shape))}",
    "source": lambda each: each.source,
    "created": lambda each: each.created,
}


@verb(app, "add", example="rdg data add zero-to-four --from digits --classes 0-4")
async def add(
    session: Session,
    name: Annotated[
        str, typer.Argument(help="Its name from now on; a public set's own needs no --from.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A public set (digits, mnist, …), an .npz file or a folder of class folders.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these, numbered in this order: 0-4 or cat,dog.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Resize the images of a folder: 32x32, height first.")
    ] = None,
) -> None:
    """Add a data set. Adding the same again changes nothing."""
    origin = datasets.Origin(
        source or name, classes_of(classes) or (), parse_size(size) if size else None
    )
    settings = session.settings
    with _bar(f"reading {origin.source}") as on_bytes:
        splits = await datasets.read(
            origin, settings.data_dir, settings.home / "downloads", on_bytes
        )
    for sentence in splits.notes:
        note(sentence)
    async with session.store() as store:
        with _bar(f"storing {name}") as on_bytes:
            text = origin.source if classes is None else f"{origin.source}, classes {classes}"
            dataset = await datasets.add(store, name, splits, text, on_bytes)
    print_one(dataset, described(dataset, COLUMNS), session.format)


@verb(app, "list", example="rdg data list --format json")
async def list_(session: Session, limit: Limit = 100, before: Before = None) -> None:
    """List data sets."""
    async with session.store() as store:
        found = await datasets.page(store, limit, before)
    print_all(
        found, COLUMNS, session.format, "no data sets yet: add one with `rdg data add digits`"
    )


@verb(app, "show", example="rdg data show digits")
async def show(session: Session, name: NameArgument) -> None:
    """Show one data set, with its samples of each class."""
    async with session.store() as store:
        dataset = await datasets.show(store, name)
    per_class = {f"class {target}": _of_class(dataset, target) for target in dataset.classes}
    print_one(dataset, described(dataset, COLUMNS) | per_class, session.format)


@verb(app, "delete", example="rdg data delete digits --force")
async def delete(session: Session, name: NameArgument, force: Force = False) -> None:
    """Delete a data set and its samples, for good."""
    confirm(f"delete data set {name!r} and its samples for good?", force)
    async with session.store() as store:
        parts = await datasets.delete(store, name)
    note(f"{name} is deleted ({parts} parts)")


def confirm(question: str, force: bool) -> None:
    """Ask on a terminal; without one, `--force` must be given."""
    if force:
        return
    if not sys.stdin.isatty():
        raise Invalid("--force", "this cannot be undone", "give --force to do it")
    typer.confirm(question, abort=True, err=True)


def _bar(what: str) -> AbstractContextManager[datasets.OnBytes | None]:
    from control.progress_bars import byte_bar

    return byte_bar(what) if sys.stderr.isatty() else nullcontext()


def _count(parts: tuple[SamplePart, ...], target: str | None = None) -> int:
    return sum(part.count for part in parts if target in (None, part.target))


def _of_class(dataset: Dataset, target: str) -> str:
    return f"{_count(dataset.train, target)} train, {_count(dataset.test, target)} test"
