"""Data sets: real samples go into the store in parts of bounded size, by split and class."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from control import sources
from control.sources import Labelled, Splits
from control.verbs.errors import Invalid, Refused, Unreachable
from control.verbs.pages import page as page_of
from learning.bundle import pack
from schemas.documents import NEXT_STATES, TERMINAL, Dataset, Job, SamplePart
from schemas.names import ClassName, Name
from store.base import MAX_PAGE, Store, digest_of
from store.errors import NotFound

PART_BYTES = 8 * 1024 * 1024
HEADER_BYTES = 4096  # more than the file format adds to one array

NAME: TypeAdapter[str] = TypeAdapter(Name)
CLASS_NAME: TypeAdapter[str] = TypeAdapter(ClassName)

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes are done, and of how many if that is known."""


@dataclass(frozen=True)
class Origin:
    """Where samples are read from.

    Attributes:
        source: Name of a public set, path to an .npz file, or path to a folder of class folders.
        classes: Only these, in this order; empty: all.
        size: Height and width that the images of a folder are resized to.

    """

    source: str
    classes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


async def read(
    origin: Origin, data_dir: Path | None, cache_dir: Path, on_bytes: OnBytes | None = None
) -> Splits:
    """Read a source, downloading a public set that neither folder has.

    Args:
        origin: What to read.
        data_dir: Folder with the public sets; nothing is downloaded then.
        cache_dir: Where downloads are kept.
        on_bytes: Told of a download, from another thread.

    """

    def read_now() -> Splits:
        splits = sources.read(
            origin.source,
            data_dir=data_dir,
            cache_dir=cache_dir,
            progress=on_bytes,
            size=origin.size,
        )
        return _only(splits, origin.classes) if origin.classes else splits

    with _translated():
        return await asyncio.to_thread(read_now)


async def add(
    store: Store, name: str, splits: Splits, source: str, on_bytes: OnBytes | None = None
) -> Dataset:
    """Keep samples under a name, and return their document.

    What is there with the same content is returned as it is, so an addition that was interrupted is finished by
    repeating it; `delete` removes what it left behind.

    Raises:
        Invalid: The name or a class name cannot be used.
        Refused: The name is taken by other samples.

    """
    wanted = _described(name, splits, source)
    taken = await _existing(store, name)
    if taken is not None:
        return _same(taken, await _keep(None, wanted, splits, None))
    dataset = await _keep(store, wanted, splits, on_bytes)
    if await store.insert(dataset):
        return dataset
    return _same(await store.get(Dataset, name), dataset)


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Dataset]:
    """Return data sets, newest first."""
    return await page_of(store, Dataset, limit, before)


async def show(store: Store, name: str) -> Dataset:
    """Return one data set, or raise NotFound."""
    return await store.get(Dataset, name)


async def delete(store: Store, name: str) -> int:
    """Remove a data set, or what an interrupted addition left of one; return how many parts it had.

    Raises:
        NotFound: There is no such data set.
        Refused: A job that is not over needs it.

    """
    users = [job.id async for job in _open_jobs(store) if name in job.spec.data_sets]
    if users:
        raise Refused(f"{name} is in use by {', '.join(users)}", "wait for it, or cancel it")
    was_there = await store.delete(Dataset, name)
    dropped = await store.drop_parts(_owner(name))
    if not (was_there or dropped):
        raise NotFound(Dataset.__name__, name)
    return dropped


async def _open_jobs(store: Store) -> AsyncIterator[Job]:
    for state in NEXT_STATES.keys() - TERMINAL:
        for job in await store.find(Job, state=state, limit=MAX_PAGE):
            yield job


def _owner(name: str) -> str:
    return f"data/{name}"


def _only(splits: Splits, classes: Sequence[str]) -> Splits:
    test = splits.test and splits.test.only(classes)
    return Splits(splits.train.only(classes), test, splits.notes)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sources.DownloadFailed as error:
        raise Unreachable(f"{error.where}: {error.problem}", error.remedy) from error
    except sources.SourceError as error:
        raise Invalid(str(error.where), error.problem, error.remedy) from error


def _described(name: str, splits: Splits, source: str) -> Dataset:
    """Return the document without its parts, or say which name cannot be used."""
    if not _is(NAME, name):
        remedy = "use up to 63 lower case letters, digits and dashes"
        raise Invalid("name", f"{name!r} cannot be a name", remedy)
    for target in splits.train.classes:
        if not _is(CLASS_NAME, target):
            remedy = "use up to 64 characters, no comma, no space at the ends"
            raise Invalid("classes", f"{target!r} cannot be a class's name", remedy)
    samples = splits.train.samples
    return Dataset(
        id=name,
        source=source[:1024],
        shape=samples.shape[1:],
        dtype="uint8" if samples.dtype == np.uint8 else "float32",
        classes=splits.train.classes,
        train=(),
    )


def _is(kind: TypeAdapter[str], text: str) -> bool:
    try:
        return kind.validate_python(text) == text
    except ValidationError:
        return False


async def _existing(store: Store, name: str) -> Dataset | None:
    try:
        return await store.get(Dataset, name)
    except NotFound:
        return None


def _same(there: Dataset, wanted: Dataset) -> Dataset:
    fields = {"shape", "dtype", "classes", "train", "test"}
    if there.model_dump(include=fields) != wanted.model_dump(include=fields):
        remedy = f"choose another name, or remove it: rdg data delete {there.id} --force"
        raise Refused(f"data set {there.id!r} is there with other samples", remedy)
    return there


async def _keep(
    store: Store | None, described: Dataset, splits: Splits, on_bytes: OnBytes | None
) -> Dataset:
    """Return the document with its parts; put them into the store, if one is given."""
    total = splits.train.samples.nbytes + (splits.test.samples.nbytes if splits.test else 0)
    done = 0
    parts: dict[str, list[SamplePart]] = {"train": [], "test": []}
    for split, target, samples in _chunks(splits):
        data = await asyncio.to_thread(pack, {"samples": samples})
        digest = (
            digest_of(data) if store is None else await store.put_part(data, _owner(described.id))
        )
        parts[split].append(
            SamplePart(target=target, count=len(samples), digest=digest, size_bytes=len(data))
        )
        done += samples.nbytes
        if on_bytes:
            on_bytes(done, total)
    update = {split: tuple(listed) for split, listed in parts.items()}
    return described.model_copy(update=update)


def _chunks(splits: Splits) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Cut each split by class into arrays that fit a part."""
    for split, labelled in (("train", splits.train), ("test", splits.test)):
        if labelled is not None:
            for target, samples in _by_class(labelled):
                size = max(1, (PART_BYTES - HEADER_BYTES) // max(1, samples[0].nbytes))
                for start in range(0, len(samples), size):
                    yield split, target, samples[start : start + size]


def _by_class(labelled: Labelled) -> Iterator[tuple[str, NDArray[Any]]]:
    for label, target in enumerate(labelled.classes):
        yield target, labelled.samples[labelled.labels == label]
