"""What only the shared store promises: it says what is wrong with the server, and recovers with it."""

import asyncio
import itertools
import os
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, OperationFailure, WriteConcernError

from schemas.documents import DOCUMENTS, Model
from store.errors import NotFound, StoreError, StoreUnavailable
from store.mongo import MongoStore
from store.mongo_parts import MongoParts
from tests.servers.mongodb import MongoNode
from tests.servers.process import free_port
from tests.store.engines import MongoBackDoor

pytestmark = pytest.mark.mongo

LONGEST_WAIT_S = 30  # what the driver itself would take


async def test_unreachable_server_is_unavailable_soon_and_without_the_password() -> None:
    url = f"mongodb://user:secret@127.0.0.1:{free_port()}/rdg"
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"RDG_STORE: no MongoDB .* 127\.0\.0\.1") as caught:
        async with MongoStore.connect(url):
            pass
    assert time.monotonic() - started < LONGEST_WAIT_S
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:se/cret@host/rdg",
        "mongodb://user:se@cret@host/rdg",
        "mongodb://user:se:cret@host/rdg",
        "mongodb://host:port/rdg",
        "mongodb://",
    ],
)
async def test_malformed_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(StoreError, match="RDG_STORE: not a MongoDB URL") as caught:
        async with MongoStore.connect(url):
            pass
    assert "cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "error",
    [
        WriteConcernError("Replication is being shut down", 91),
        BulkWriteError({"writeConcernErrors": [{"code": 91, "errmsg": "being shut down"}]}),
        OperationFailure("interrupted at shutdown", 11600),
    ],
)
async def test_server_that_stops_is_waited_for(mongo_url: str, error: OperationFailure) -> None:
    """Seen when a database was stopped while it waited for a write to be safe."""
    async with MongoStore.connect(mongo_url) as store:
        with (
            pytest.raises(StoreUnavailable, match="stops, or changes its primary"),
            store._translated(),
        ):
            raise error


async def test_refused_user_is_an_error_that_says_so(mongo_url: str) -> None:
    url = mongo_url.replace("mongodb://", "mongodb://user:secret@")
    with pytest.raises(StoreError, match=r"refuses: Authentication failed") as caught:
        async with MongoStore.connect(url):
            pass
    assert not isinstance(caught.value, StoreUnavailable)
    assert "secret" not in str(caught.value)


async def test_address_without_a_database_means_rdg(mongo_node: MongoNode, mongo_url: str) -> None:
    async with MongoStore.connect(mongo_node.url) as store:
        await store.insert(Model(id="m"))
    with MongoClient[dict[str, Any]](mongo_node.url) as client:
        assert client["rdg"]["models"].find_one({"_id": "m"}) is not None
        client.drop_database("rdg")


async def test_processes_that_create_the_indexes_at_once_do_not_mind(mongo_url: str) -> None:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(stack.enter_async_context(MongoStore.connect(mongo_url)))


async def test_store_recovers_with_its_server_and_has_what_was_acknowledged(
    mongo_node: MongoNode, mongo_url: str
) -> None:
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write_until_it_fails(store: MongoStore) -> None:
        for number in itertools.count():
            await store.insert(Model(id=f"m{number}"))
            acknowledged.append(f"m{number}")
            if number == 50:
                enough.set()

    async def kill_in_the_middle() -> None:
        await enough.wait()
        await asyncio.to_thread(mongo_node.kill)

    async with MongoStore.connect(mongo_url) as store, asyncio.TaskGroup() as group:
        digest = await store.put_part(b"data", "me")
        group.create_task(kill_in_the_middle())
        with pytest.raises(StoreUnavailable, match="RDG_STORE"):
            await write_until_it_fails(store)

        await asyncio.to_thread(mongo_node.start)
        assert await store.get_part(digest) == b"data"
        for key in acknowledged:
            assert (await store.get(Model, key)).id == key
        assert await store.insert(Model(id="after")) is True


async def test_put_that_was_cut_off_leaves_nothing_after_its_owners_drop(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> bool:
        raise ConnectionResetError

    async with MongoStore.connect(mongo_url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(MongoParts, "_keep", cut_off)
            with pytest.raises(ConnectionResetError):
                await store.put_part(b"data", "me")
        assert MongoBackDoor(mongo_url).kept_bytes() == 4
        digest = await store.put_part(b"data", "me")
        assert await store.get_part(digest) == b"data"
        await store.drop_parts("me")
    assert MongoBackDoor(mongo_url).kept_bytes() == 0


async def test_what_was_uploaded_in_part_long_ago_is_removed_and_nothing_else(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> bool:
        raise ConnectionResetError

    back_door = MongoBackDoor(mongo_url)
    async with MongoStore.connect(mongo_url) as store:
        digest = await store.put_part(b"whole", "me")
        with monkeypatch.context() as patch:
            patch.setattr(MongoParts, "_keep", cut_off)
            with pytest.raises(ConnectionResetError):
                await store.put_part(b"in part", "me")
        with monkeypatch.context() as patch:
            patch.setattr(MongoParts, "_remove", cut_off)
            await store.put_part(b"dropped", "another")
            with pytest.raises(ConnectionResetError):
                await store.drop_parts("another")
        now = datetime.now(UTC)

        assert await store.drop_unfinished(now - timedelta(hours=1)) == 0
        assert back_door.kept_bytes() == len(b"whole" + b"in part" + b"dropped")
        assert await store.drop_unfinished(now + timedelta(hours=1)) == 2
        assert back_door.kept_bytes() == len(b"whole")
        assert await store.get_part(digest) == b"whole"


async def test_upload_that_is_removed_while_it_goes_on_is_done_again(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process whose clock is days ahead."""
    keep, removed = MongoParts._keep, list[int]()
    async with MongoStore.connect(mongo_url) as store:

        async def late_keep(parts: MongoParts, file: ObjectId) -> bool:
            if not removed:
                ahead = datetime.now(UTC) + timedelta(days=3)
                removed.append(await store.drop_unfinished(ahead))
            return await keep(parts, file)

        monkeypatch.setattr(MongoParts, "_keep", late_keep)
        digest = await store.put_part(b"data", "me")

        assert removed == [1]
        assert await store.get_part(digest) == b"data"
        await store.drop_parts("me")
    assert MongoBackDoor(mongo_url).kept_bytes() == 0


@pytest.mark.parametrize("step", ["_drop_unclaimed", "_remove_dropped", "_remove"])
async def test_drop_that_was_cut_off_is_finished_by_the_next(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def cut_off(*_: object) -> None:
        raise ConnectionResetError

    async with MongoStore.connect(mongo_url) as store:
        await store.put_part(b"data", "me")
        with monkeypatch.context() as patch:
            patch.setattr(MongoParts, step, cut_off)
            with pytest.raises(ConnectionResetError):
                await store.drop_parts("me")
        assert await store.drop_parts("me") == 1
    assert MongoBackDoor(mongo_url).kept_bytes() == 0


async def test_drop_between_a_claim_and_its_check_spares_the_part(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody puts the same bytes just after a drop found that nobody else claims them."""
    data = os.urandom(1000)
    async with MongoStore.connect(mongo_url) as store:
        digest = await store.put_part(data, "old")
        distinct = type(store._parts._claims).distinct

        async def slow_distinct(claims: Any, *arguments: Any) -> Any:
            found = await distinct(claims, *arguments)
            await store.put_part(data, "new")
            return found

        with monkeypatch.context() as patch:
            patch.setattr(type(store._parts._claims), "distinct", slow_distinct)
            assert await store.drop_parts("old") == 1
        assert await store.get_part(digest) == data


async def test_put_that_its_owners_drop_overtakes_leaves_no_part_without_a_claim(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoStore.connect(mongo_url) as store:
        upload = MongoParts._upload

        async def late_upload(parts: MongoParts, digest: str, data: bytes, owner: str) -> bool:
            await store.drop_parts(owner)
            return await upload(parts, digest, data, owner)

        monkeypatch.setattr(MongoParts, "_upload", late_upload)
        digest = await store.put_part(b"x", "a")
        await store.drop_parts("a")
        with pytest.raises(NotFound):
            await store.get_part(digest)


async def test_reader_whom_a_drop_overtakes_finds_no_part(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part is dropped after its file was found, and before its chunks are read."""
    back_door = MongoBackDoor(mongo_url)
    async with MongoStore.connect(mongo_url) as store:
        digest = await store.put_part(b"data", "me")
        find = type(store._parts._chunks).find

        def find_after_drop(chunks: Any, *arguments: Any) -> Any:
            with back_door.database() as database:
                database["parts.files"].delete_many({})
                database["parts.chunks"].delete_many({})
            return find(chunks, *arguments)

        monkeypatch.setattr(type(store._parts._chunks), "find", find_after_drop)
        with pytest.raises(NotFound):
            await store.get_part(digest)


async def test_every_search_follows_an_index(mongo_url: str) -> None:
    async with MongoStore.connect(mongo_url) as store:
        for kind in DOCUMENTS:
            for equal in [{}, *({field: "x"} for field in kind.indexes)]:
                await store.find(kind, **equal)  # type: ignore[arg-type]  # only names of indexes
    with MongoBackDoor(mongo_url).database() as database:
        for kind in DOCUMENTS:
            for field in kind.indexes:
                found = database[kind.collection].find({field: "x", "created": {"$lte": 5}})
                plan = found.sort([("created", -1), ("_id", -1)]).explain()
                stages = str(plan["queryPlanner"]["winningPlan"])
                assert "IXSCAN" in stages
                assert "SORT" not in stages
