"""The shared store: a MongoDB database, which any number of processes on any number of machines may use.

Writes are acknowledged by a majority, and repeated once by the driver if the connection broke. Every verb is atomic
by itself on a single document, so a standalone server does as well as a replica set, which a fleet should have.
A document is a record of its id, revision, time, the fields it is searched by, and its body (see store/rules.py).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from schemas.documents import DOCUMENTS, Document
from schemas.tls import SYSTEM, Tls
from store.base import Arrivals, digest_of
from store.errors import Damaged, NotFound, StoreError, StoreUnavailable
from store.mongo_parts import MongoParts
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
Record: TypeAlias = dict[str, Any]

DEFAULT_DATABASE = "rdg"
ANSWER_S = 5  # waiting for a server, before a call is StoreUnavailable
SILENCE_S = 30  # a server saying nothing within a call
DISK_FULL = "No space left on device"  # to the server an unknown error: it has no code of its own
PASSING = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
"""The server's codes for: shutting down, stepping down, not the primary. A write may have been done all the same."""
NEWEST_FIRST = [("created", DESCENDING), ("_id", DESCENDING)]

# What a field's name cannot hold; "%" itself, so that it can be undone.
_ESCAPES = str.maketrans({character: f"%{ord(character):02X}" for character in "%.$\0"})


class MongoStore:
    """See Store."""

    def __init__(self, database: "AsyncIOMotorDatabase[Record]", hosts: str, tls: Tls) -> None:
        self._database = database
        self._hosts = hosts
        self._tls = tls
        self._arrivals = database["arrivals"]
        self._tallies = database["tallies"]
        self._parts = MongoParts(database)

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, tls: Tls = SYSTEM) -> AsyncIterator[Self]:
        """Connect to the database that the URL names, by default "rdg"; closed at the end.

        Args:
            url: `mongodb://user:password@host:port/database`.
            tls: With its files set, the connection is encrypted and the server's name is checked, whatever the URL
                says. Read once: a new certificate needs a new start.

        Raises:
            StoreUnavailable: No server answers within ANSWER_S, or none that is trusted; or a file cannot be used.
            StoreError: The URL is not one of MongoDB's, or the server refuses the user.

        """
        client = _client(url, await _tls_options(tls))
        try:
            hosts = urlsplit(url).netloc.rpartition("@")[2]  # without user and password
            store = cls(client.get_default_database(DEFAULT_DATABASE), hosts, tls)
            await store._set_up()
            yield store
        finally:
            await asyncio.to_thread(client.close)  # it says goodbye, and waits for the answer

    async def insert(self, document: Document) -> bool:
        """See Store.insert."""
        record = _record(document)
        with self._translated():
            try:
                await self._collection(type(document)).insert_one(record)
            except DuplicateKeyError:
                return False
        return True

    async def get(self, kind: type[D], key: str) -> D:
        """See Store.get."""
        with self._translated():
            record = await self._collection(kind).find_one({"_id": key}, {"body": True})
        if record is None:
            raise NotFound(kind.__name__, key)
        return read_document(kind, key, record["body"])

    async def replace(self, document: D) -> D:
        """See Store.replace."""
        new = next_revision(document)
        record = _record(new)
        place = {"_id": document.id}
        collection = self._collection(type(document))
        with self._translated():
            found = await collection.replace_one(place | {"revision": document.revision}, record)
            if found.matched_count:
                return new
            if await collection.find_one(place, {"_id": True}):
                raise conflict(document)
        raise NotFound(type(document).__name__, document.id)

    async def delete(self, kind: type[Document], key: str) -> bool:
        """See Store.delete."""
        with self._translated():
            deleted = await self._collection(kind).delete_one({"_id": key})
        return bool(deleted.deleted_count)

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
            query: Record = dict(equal)
            if last is not None:
                created, key = last
                query["created"] = {"$lte": created}
                query["$or"] = [{"created": {"$lt": created}}, {"_id": {"$lt": key}}]
            with self._translated():
                found = self._collection(kind).find(query, {"created": True, "body": True})
                records = await found.sort(NEWEST_FIRST).limit(most).to_list(None)
            return [((each["created"], each["_id"]), each["body"]) for each in records]

        return await read_page(kind, limit, before, skip_damaged, fetch)

    async def count(self, kind: type[Document], **equal: str) -> int:
        """See Store.count."""
        check_search(kind, 1, equal)
        with self._translated():
            return int(await self._collection(kind).count_documents(equal))

    async def arrive(self, gate: str, member: int, value: str, expected: int) -> Arrivals:
        """See Store.arrive."""
        check_member(member, expected)
        expected_here = {"gate": gate, "member": {"$lt": expected}}
        with self._translated():
            earlier = await self._enter(gate, member, value)
            # Whoever comes last finds all others in: it looks after its own arrival is kept.
            count = await self._arrivals.count_documents(expected_here)
            if count < expected:
                return Arrivals(count, None, earlier)
            found = self._arrivals.find(expected_here, {"value": True}).sort("member", ASCENDING)
            values = [record["value"] for record in await found.to_list(None)]
        return Arrivals(len(values), values if len(values) == expected else None, earlier)

    async def _enter(self, gate: str, member: int, value: str) -> str | None:
        """Keep an arrival, or return the value of the one that is kept already."""
        try:
            await self._arrivals.insert_one({"gate": gate, "member": member, "value": value})
        except DuplicateKeyError:
            earlier = await self._arrivals.find_one({"gate": gate, "member": member})
            return str(earlier["value"]) if earlier else None  # closed just now
        return None

    async def arrived(self, gate: str) -> set[int]:
        """See Store.arrived."""
        with self._translated():
            found = self._arrivals.find({"gate": gate}, {"member": True, "_id": False})
            return {record["member"] for record in await found.to_list(None)}

    async def close_gate(self, gate: str) -> None:
        """See Store.close_gate."""
        with self._translated():
            await self._arrivals.delete_many({"gate": gate})

    async def tally(self, key: str, amounts: Mapping[str, float]) -> None:
        """See Store.tally."""
        check_amounts(amounts)
        if not amounts:
            return
        sums = {f"amounts.{name.translate(_ESCAPES)}": float(amounts[name]) for name in amounts}
        with self._translated():
            await self._tallies.update_one({"_id": key}, {"$inc": sums}, upsert=True)

    async def tallies(self, key: str) -> dict[str, float]:
        """See Store.tallies."""
        with self._translated():
            record = await self._tallies.find_one({"_id": key})
        return {unquote(name): sum_ for name, sum_ in record["amounts"].items()} if record else {}

    async def put_part(self, data: bytes, owner: str) -> str:
        """See Store.put_part."""
        check_part(data)
        digest = await asyncio.to_thread(digest_of, data)
        with self._translated():
            await self._parts.put(digest, data, owner)
        return digest

    async def get_part(self, digest: str) -> bytes:
        """See Store.get_part."""
        with self._translated():
            data = await self._parts.get(digest)
        if data is None:
            raise NotFound("part", digest)
        if await asyncio.to_thread(digest_of, data) != digest:
            raise Damaged(f"part {digest}: its bytes have another digest")
        return data

    async def drop_parts(self, owner: str, *digests: str) -> int:
        """See Store.drop_parts."""
        with self._translated():
            return await self._parts.drop(owner, *digests)

    async def drop_unfinished(self, before: datetime) -> int:
        """See Store.drop_unfinished."""
        with self._translated():
            return await self._parts.drop_unfinished(before)

    async def ping(self) -> str:
        """See Store.ping."""
        with self._translated():
            answer = await self._database.command("buildInfo")
        return f"MongoDB {answer['version']}"

    async def _set_up(self) -> None:
        with self._translated():
            await self._parts.set_up()
            by_member = [("gate", ASCENDING), ("member", ASCENDING)]
            await self._arrivals.create_indexes([IndexModel(by_member, unique=True)])
            for kind in DOCUMENTS:
                fields: list[list[str]] = [[], *([field] for field in kind.indexes)]
                await self._collection(kind).create_indexes(
                    [IndexModel([*field, *NEWEST_FIRST]) for field in fields]
                )

    def _collection(self, kind: type[Document]) -> "AsyncIOMotorCollection[Record]":
        return self._database[kind.collection]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise the driver's errors as those of the store."""
        try:
            yield
        except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
            remedy = self._tls.remedy(str(error), "RDG_STORE") if self._tls.is_set else ""
            raise StoreUnavailable(
                f"RDG_STORE: no MongoDB server answers at {self._hosts}: "
                f"{remedy or 'check the address and that it runs'}"
            ) from error
        except (PyMongoError, BSONError) as error:
            if DISK_FULL in str(error):
                raise StoreUnavailable(
                    f"RDG_STORE: the disk of MongoDB at {self._hosts} is full; free some space"
                ) from error
            if PASSING & set(_codes(error)):
                raise StoreUnavailable(
                    f"RDG_STORE: MongoDB at {self._hosts} stops, or changes its primary: {error}"
                ) from error
            reason = str(error).partition(", full error")[0]
            raise StoreError(f"RDG_STORE: MongoDB at {self._hosts} refuses: {reason}") from error


def _codes(error: Exception) -> Iterator[int | None]:
    """Yield the server's codes for an error, and for each of a bulk's."""
    if isinstance(error, OperationFailure):
        yield error.code
        for part in ("writeErrors", "writeConcernErrors"):
            yield from (each.get("code") for each in (error.details or {}).get(part, ()))


async def _tls_options(tls: Tls) -> dict[str, Any]:
    """Return the driver's options, which win over the URL's."""
    if not tls.is_set:
        return {}
    try:
        await asyncio.to_thread(tls.context)  # says what is wrong with a file, as the bus does
    except ValueError as error:
        raise StoreUnavailable(str(error)) from None
    return {
        "tls": True,
        "tlsCAFile": str(tls.ca) if tls.ca else None,
        "tlsCertificateKeyFile": str(tls.certificate) if tls.certificate else None,
        "tlsAllowInvalidCertificates": False,
        "tlsAllowInvalidHostnames": False,
    }


def _client(url: str, options: Mapping[str, Any]) -> "AsyncIOMotorClient[Record]":
    """Return a client that has not connected yet."""
    try:
        return AsyncIOMotorClient(
            url,
            appname="rdg",
            w="majority",
            retryWrites=True,
            serverSelectionTimeoutMS=ANSWER_S * 1000,
            connectTimeoutMS=ANSWER_S * 1000,
            socketTimeoutMS=SILENCE_S * 1000,
            **options,
        )
    except (ConfigurationError, ValueError):
        # What was wrong may hold the password: it is not shown.
        raise StoreError(
            "RDG_STORE: not a MongoDB URL; use mongodb://user:password@host:27017/database, "
            "with user and password percent-encoded"
        ) from None


def _record(document: Document) -> Record:
    searched = document.model_dump(mode="json", include=set(document.indexes))
    return searched | {
        "_id": document.id,
        "revision": document.revision,
        "created": created_us(document),
        "body": write_document(document),
    }
