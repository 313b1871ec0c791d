"""The embedded store: one SQLite file, which several processes of one machine may share.

A call that returned is on disk (WAL, synchronous=FULL), so neither kill -9 nor a power cut undoes it. A call that was
cancelled has happened or has not, never by half. Bytes that are deleted are overwritten in the file.
The file and its folder are made for their owner's eyes only.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import aiosqlite

from schemas.documents import DOCUMENTS, Document
from store.base import Arrivals, digest_of
from store.errors import Damaged, NotFound, StoreError, StoreUnavailable
from store.rules import (
    Found,
    Place,
    check_amounts,
    check_member,
    check_part,
    check_search,
    conflict,
    created_us,
    next_revision,
    read_document,
    read_page,
    write_document,
)

D = TypeVar("D", bound=Document)
Rows: TypeAlias = list[tuple[Any, ...]]

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL,
    created INTEGER NOT NULL,  -- microseconds since 1970
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX IF NOT EXISTS documents_by_created ON documents (kind, created, id);
CREATE TABLE IF NOT EXISTS parts (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS claims (
    owner TEXT NOT NULL, digest TEXT NOT NULL REFERENCES parts,
    PRIMARY KEY (owner, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_by_digest ON claims (digest);
CREATE TABLE IF NOT EXISTS gates (
    gate TEXT NOT NULL, member INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (gate, member)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tallies (
    key TEXT NOT NULL, name TEXT NOT NULL, amount REAL NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
"""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path and its permissions",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the path and its permissions",
    sqlite3.SQLITE_READONLY: "it may not be written; check its permissions",
}


class SqliteStore:
    """See Store. One connection, on one thread; its calls take turns."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str | Path, wait_s: float = 5) -> AsyncIterator[Self]:
        """Open the file, creating it and its folder if needed; closed at the end.

        Args:
            path: Of the file.
            wait_s: How long a call waits for another process's write before it is StoreUnavailable.

        """
        file = Path(path)
        with _translated(file):
            await asyncio.to_thread(_create, file, wait_s)
            connection = await aiosqlite.connect(file, timeout=wait_s, isolation_level=None)
        try:
            store = cls(connection, file)
            await store._set_up()
            yield store
        finally:
            await connection.close()

    async def insert(self, document: Document) -> bool:
        """See Store.insert."""
        values = (document.id, document.revision, created_us(document), write_document(document))
        return bool(
            await self._run(
                "INSERT INTO documents (kind, id, revision, created, body) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING RETURNING 1",
                document.collection,
                *values,
            )
        )

    async def get(self, kind: type[D], key: str) -> D:
        """See Store.get."""
        rows = await self._run(
            "SELECT body FROM documents WHERE kind = ? AND id = ?", kind.collection, key
        )
        if not rows:
            raise NotFound(kind.__name__, key)
        return read_document(kind, key, rows[0][0])

    async def replace(self, document: D) -> D:
        """See Store.replace."""
        new = next_revision(document)
        place = (document.collection, document.id)
        replaced = await self._run(
            "UPDATE documents SET revision = ?, created = ?, body = ? "
            "WHERE kind = ? AND id = ? AND revision = ? RETURNING 1",
            new.revision,
            created_us(new),
            write_document(new),
            *place,
            document.revision,
        )
        if replaced:
            return new
        if await self._run("SELECT 1 FROM documents WHERE kind = ? AND id = ?", *place):
            raise conflict(document)
        raise NotFound(type(document).__name__, document.id)

    async def delete(self, kind: type[Document], key: str) -> bool:
        """See Store.delete."""
        return bool(
            await self._run(
                "DELETE FROM documents WHERE kind = ? AND id = ? RETURNING 1", kind.collection, key
            )
        )

    async def find(
        self,
        kind: type[D],
        *,
        limit: int = 100,
        before: D | None = None,
        skip_damaged: bool = False,
        **equal: str,
    ) -> list[D]:
        """See Store.find."""
        check_search(kind, limit, equal)

        async def fetch(most: int, last: Place | None) -> list[Found]:
            conditions = ["kind = ?", *(f"{_indexed(field)} = ?" for field in equal)]
            values: list[str | int] = [kind.collection, *equal.values()]
            if last is not None:
                conditions.append("(created, id) < (?, ?)")
                values += last
            query = (
                f"SELECT created, id, body FROM documents WHERE {' AND '.join(conditions)} "  # noqa: S608 (only names of indexes)
                "ORDER BY created DESC, id DESC LIMIT ?"
            )
            rows = await self._run(query, *values, most)
            return [((created, key), body) for created, key, body in rows]

        return await read_page(kind, limit, before, skip_damaged, fetch)

    async def count(self, kind: type[Document], **equal: str) -> int:
        """See Store.count."""
        check_search(kind, 1, equal)
        conditions = ["kind = ?", *(f"{_indexed(field)} = ?" for field in equal)]
        query = f"SELECT count(*) FROM documents WHERE {' AND '.join(conditions)}"  # noqa: S608 (only names of indexes)
        ((count,),) = await self._run(query, kind.collection, *equal.values())
        return int(count)

    async def arrive(self, gate: str, member: int, value: str, expected: int) -> Arrivals:
        """See Store.arrive."""
        check_member(member, expected)
        async with self._transaction():
            kept = await self._execute(
                "SELECT value FROM gates WHERE gate = ? AND member = ?", gate, member
            )
            earlier = kept[0][0] if kept else None
            await self._execute(
                "INSERT INTO gates VALUES (?, ?, ?) ON CONFLICT DO NOTHING", gate, member, value
            )
            ((count,),) = await self._execute(
                "SELECT count(*) FROM gates WHERE gate = ? AND member < ?", gate, expected
            )
            if count < expected:
                return Arrivals(count, None, earlier)
            arrived = await self._execute(
                "SELECT value FROM gates WHERE gate = ? AND member < ? ORDER BY member",
                gate,
                expected,
            )
        return Arrivals(count, [first for (first,) in arrived], earlier)

    async def arrived(self, gate: str) -> set[int]:
        """See Store.arrived."""
        return {
            member for (member,) in await self._run("SELECT member FROM gates WHERE gate = ?", gate)
        }

    async def close_gate(self, gate: str) -> None:
        """See Store.close_gate."""
        await self._run("DELETE FROM gates WHERE gate = ?", gate)

    async def tally(self, key: str, amounts: Mapping[str, float]) -> None:
        """See Store.tally."""
        check_amounts(amounts)
        await self._run(
            "INSERT INTO tallies SELECT ?, key, value FROM json_each(?) WHERE true "
            "ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
            key,
            json.dumps(dict(amounts)),
        )

    async def tallies(self, key: str) -> dict[str, float]:
        """See Store.tallies."""
        return dict(await self._run("SELECT name, amount FROM tallies WHERE key = ?", key))

    async def put_part(self, data: bytes, owner: str) -> str:
        """See Store.put_part."""
        check_part(data)
        digest = await asyncio.to_thread(digest_of, data)
        async with self._transaction():
            await self._execute(
                "INSERT INTO parts VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                digest,
                len(data),
                data,
            )
            await self._execute(
                "INSERT INTO claims VALUES (?, ?) ON CONFLICT DO NOTHING", owner, digest
            )
        return digest

    async def get_part(self, digest: str) -> bytes:
        """See Store.get_part."""
        rows = await self._run("SELECT data FROM parts WHERE digest = ?", digest)
        if not rows:
            raise NotFound("part", digest)
        data: bytes = rows[0][0]
        if await asyncio.to_thread(digest_of, data) != digest:
            raise Damaged(f"part {digest}: its bytes have another digest")
        return data

    async def drop_parts(self, owner: str, *digests: str) -> int:
        """See Store.drop_parts."""
        async with self._transaction():
            ended = await self._execute(
                "DELETE FROM claims WHERE owner = ? "
                "AND (? OR digest IN (SELECT value FROM json_each(?))) RETURNING digest",
                owner,
                not digests,
                json.dumps(digests),
            )
            await self._execute(
                "DELETE FROM parts WHERE digest IN (SELECT value FROM json_each(?)) "
                "AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.digest = parts.digest)",
                json.dumps([digest for (digest,) in ended]),
            )
        return len(ended)

    async def drop_unfinished(self, before: datetime) -> int:
        """See Store.drop_unfinished: a put is a transaction."""
        return 0

    async def ping(self) -> str:
        """See Store.ping."""
        ((version,),) = await self._run("SELECT sqlite_version() FROM sqlite_schema LIMIT 1")
        return f"SQLite {version}"

    async def _set_up(self) -> None:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            await self._run(f"PRAGMA {pragma}")
        async with self._transaction():
            ((version,),) = await self._execute("PRAGMA user_version")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"RDG_STORE: {self._path} has store format {version}, this program knows up to "
                    f"{SCHEMA_VERSION}: upgrade the program, or use another file"
                )
            for statement in _statements():
                await self._execute(statement)

    async def _run(self, statement: str, *values: object) -> Rows:
        """Run one statement, which is a transaction of its own."""
        async with self._turn:
            return await self._execute(statement, *values)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Do several statements as one. The write lock is taken first: none has to give up half way."""
        async with self._turn:
            try:
                await self._execute("BEGIN IMMEDIATE")
                yield
                await self._execute("COMMIT")
            finally:
                await self._connection.rollback()  # after a commit there is nothing to roll back

    async def _execute(self, statement: str, *values: object) -> Rows:
        with _translated(self._path):
            return [
                tuple(row) for row in await self._connection.execute_fetchall(statement, values)
            ]


def _create(path: Path, wait_s: float) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=wait_s)) as connection:
        _write_ahead(connection, time.monotonic() + wait_s)


def _write_ahead(connection: sqlite3.Connection, deadline: float) -> None:
    """Set the journal mode, which the file keeps.

    SQLite does not wait for a process that is about to write the new file's first page, but says at once that the
    file is locked, however long its timeout.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _indexed(field: str) -> str:
    """Return the expression of a field: search and index have to spell it alike."""
    return f"json_extract(body, '$.{field}')"


def _statements() -> Iterator[str]:
    yield from SCHEMA.split(";\n")
    for field in sorted({field for kind in DOCUMENTS for field in kind.indexes}):
        yield (
            f"CREATE INDEX IF NOT EXISTS documents_by_{field} "
            f"ON documents (kind, {_indexed(field)}, created, id)"
        )
    yield f"PRAGMA user_version = {SCHEMA_VERSION}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raise the errors of SQLite and of the file system as those of the store."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is the extended code
        if code in _DAMAGED:
            raise Damaged(
                f"RDG_STORE: {path} is no readable store: {error}; restore a backup"
            ) from error
        if code in _UNAVAILABLE:
            raise _unavailable(path, _UNAVAILABLE[code]) from error
        raise StoreError(f"RDG_STORE: {path}: {error}") from error
    except OSError as error:
        raise _unavailable(path, f"{error.strerror}; check the path and its permissions") from error


def _unavailable(path: Path, reason: str) -> StoreUnavailable:
    return StoreUnavailable(f"RDG_STORE: {path} is not available: {reason}")
