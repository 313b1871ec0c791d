"""What is in a store beside what its documents ask for: the difference is lost or orphaned.

Both engines are read past the product's own code.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pymongo import MongoClient
from pymongo.database import Database

from schemas.documents import (
    Dataset,
    Document,
    Fitted,
    Job,
    ModelVersion,
    RehearsalSet,
)
from schemas.names import model_of, set_of
from store.base import MAX_PAGE, Store

D = TypeVar("D", bound=Document)
Claim = tuple[str, str]  # owner, digest


@dataclass(frozen=True)
class Holdings:
    """What a store keeps besides documents.

    Attributes:
        claims: Who needs which part.
        parts: The parts whose bytes are there.
        strays: Whatever else there is: gates, unfinished uploads, bytes that belong to nothing.

    """

    claims: frozenset[Claim]
    parts: frozenset[str]
    strays: tuple[str, ...]


async def problems(store: Store, held: Holdings) -> list[str]:
    """Return every difference between what the documents need and what is held for them."""
    needed = frozenset({claim async for claim in _needed(store)})
    return [
        *(f"lost: {owner} has no claim on {digest}" for owner, digest in needed - held.claims),
        *(f"orphan: {owner} claims {digest}" for owner, digest in held.claims - needed),
        *(f"lost: part {digest}" for digest in {digest for _, digest in needed} - held.parts),
        *(f"orphan: part {digest}" for digest in held.parts - {digest for _, digest in needed}),
        *(f"orphan: {stray}" for stray in held.strays),
        *[problem async for problem in _applied_twice(store)],
    ]


async def every(store: Store, kind: type[D]) -> AsyncIterator[D]:
    """Yield all documents of a kind."""
    page = await store.find(kind, limit=MAX_PAGE)
    while page:
        for document in page:
            yield document
        page = await store.find(kind, limit=MAX_PAGE, before=page[-1])


def read(url: str) -> Holdings:
    """Return what the store at `url` holds."""
    if urlsplit(url).scheme == "sqlite":
        with closing(sqlite3.connect(unquote(urlsplit(url).path))) as connection:
            return _sqlite(connection)
    with MongoClient[dict[str, Any]](url) as client:
        return _mongo(client.get_default_database())


async def _needed(store: Store) -> AsyncIterator[Claim]:
    async for data in every(store, Dataset):
        for samples in (*data.train, *data.test):
            yield f"data/{data.id}", samples.digest
    async for fitted in every(store, Fitted):
        yield f"fitted/{fitted.id}", fitted.digest
        if fitted.reference:
            yield f"fitted/{fitted.id}", fitted.reference.digest
    async for version in every(store, ModelVersion):
        for weights in version.parts:
            yield model_of(version.run), weights.digest
    async for claim in _sets(store):
        yield claim


async def _sets(store: Store) -> AsyncIterator[Claim]:
    """Yield what the sets need that are kept: those that a job was completed with."""
    async for kept in every(store, RehearsalSet):
        job = await store.get(Job, kept.job)
        if (job.state, job.run) == ("completed", kept.id):
            for part in kept.parts:
                yield set_of(kept.id), part.digest


async def _applied_twice(store: Store) -> AsyncIterator[str]:
    runs: dict[str, str] = {}
    async for version in every(store, ModelVersion):
        if version.run in runs:
            yield f"applied twice: {version.run} made {runs[version.run]} and {version.id}"
        runs[version.run] = version.id


def _sqlite(connection: sqlite3.Connection) -> Holdings:
    gates = connection.execute("SELECT DISTINCT gate FROM gates").fetchall()
    return Holdings(
        frozenset(connection.execute("SELECT owner, digest FROM claims").fetchall()),
        frozenset(digest for (digest,) in connection.execute("SELECT digest FROM parts")),
        tuple(f"gate {gate}" for (gate,) in gates),
    )


def _mongo(database: Database[dict[str, Any]]) -> Holdings:
    files = list(database["parts.files"].find())
    known = {file["_id"] for file in files}
    loose = [each for each in database["parts.chunks"].distinct("files_id") if each not in known]
    claims = list(database["parts.claims"].find())
    return Holdings(
        frozenset((claim["owner"], claim["digest"]) for claim in claims),
        frozenset(file["filename"] for file in files if file["state"] == "kept"),
        (
            *(f"gate {gate}" for gate in database["arrivals"].distinct("gate")),
            *(f"chunks of {each}" for each in loose),
            *(
                f"{file['state']} file of {file['owner']}: {file['filename']}"
                for file in files
                if file["state"] != "kept"
            ),
        ),
    )
