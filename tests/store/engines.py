"""The engines under test, each with a back door to what it keeps."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pymongo import MongoClient
from pymongo.database import Database

from schemas.documents import Document
from store.base import Store


class BackDoor(Protocol):
    """Changes that no verb of the store makes."""

    def spoil_part(self, digest: str) -> None:
        """Overwrite a part's bytes."""

    def rewrite(self, kind: type[Document], key: str, body: str) -> None:
        """Overwrite a document's stored form."""

    def kept_bytes(self) -> int:
        """Return how many bytes all parts take, lost ones included."""


@dataclass(frozen=True)
class Engine:
    """One set of data. Whoever opens it again sees the same."""

    open: Callable[[], AbstractAsyncContextManager[Store]]
    back_door: BackDoor


@dataclass(frozen=True)
class SqliteBackDoor:
    path: Path

    def spoil_part(self, digest: str) -> None:
        self._execute("UPDATE parts SET data = x'00' WHERE digest = ?", digest)

    def rewrite(self, kind: type[Document], key: str, body: str) -> None:
        self._execute(
            "UPDATE documents SET body = ? WHERE kind = ? AND id = ?", body, kind.collection, key
        )

    def kept_bytes(self) -> int:
        ((kept,),) = self._execute("SELECT coalesce(sum(length(data)), 0) FROM parts")
        return int(kept)

    def _execute(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()


@dataclass(frozen=True)
class MongoBackDoor:
    url: str

    def spoil_part(self, digest: str) -> None:
        with self.database() as database:
            file = database["parts.files"].find_one({"filename": digest}) or {}
            database["parts.chunks"].update_one(
                {"files_id": file["_id"]}, {"$set": {"data": b"spoiled"}}
            )

    def rewrite(self, kind: type[Document], key: str, body: str) -> None:
        with self.database() as database:
            database[kind.collection].update_one({"_id": key}, {"$set": {"body": body}})

    def kept_bytes(self) -> int:
        with self.database() as database:
            return sum(len(chunk["data"]) for chunk in database["parts.chunks"].find())

    @contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        with MongoClient[dict[str, Any]](self.url) as client:
            yield client.get_default_database()
