"""Parts, on every engine: equal bytes are kept once, and as long as somebody owns them."""

import asyncio
import os

import pytest

from schemas.limits import MAX_PART_BYTES
from store.base import Store
from store.errors import Damaged, NotFound
from tests.store.engines import Engine


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 20 * 1024 * 1024])
async def test_part_reads_back_as_it_was(store: Store, engine: Engine, size: int) -> None:
    data = os.urandom(size)
    digest = await store.put_part(data, "me")
    assert await store.get_part(digest) == data
    assert engine.back_door.kept_bytes() == size


async def test_equal_bytes_are_kept_once_and_dropped_after_both_owners(
    store: Store, engine: Engine
) -> None:
    digest = await store.put_part(b"same", "a")
    assert await store.put_part(b"same", "b") == digest
    assert await store.put_part(b"same", "b") == digest
    assert engine.back_door.kept_bytes() == 4

    assert await store.drop_parts("a") == 1
    assert await store.get_part(digest) == b"same"
    assert await store.drop_parts("b") == 1
    with pytest.raises(NotFound):
        await store.get_part(digest)
    assert engine.back_door.kept_bytes() == 0


async def test_named_parts_are_dropped_alone(store: Store) -> None:
    first, second, third = [await store.put_part(data, "me") for data in (b"1", b"2", b"3")]
    assert await store.drop_parts("me", first, third, "0" * 64) == 2
    assert await store.get_part(second) == b"2"
    for dropped in (first, third):
        with pytest.raises(NotFound):
            await store.get_part(dropped)


async def test_dropping_again_or_nothing_is_no_error(store: Store) -> None:
    await store.put_part(b"data", "me")
    assert await store.drop_parts("nobody") == 0
    assert await store.drop_parts("me") == 1
    assert await store.drop_parts("me") == 0


async def test_dropped_part_can_come_back(store: Store) -> None:
    await store.put_part(b"data", "me")
    await store.drop_parts("me")
    digest = await store.put_part(b"data", "me")
    assert await store.get_part(digest) == b"data"


async def test_unknown_part_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no part '0000"):
        await store.get_part("0" * 64)


async def test_part_with_other_bytes_is_damaged(store: Store, engine: Engine) -> None:
    digest = await store.put_part(b"data", "me")
    engine.back_door.spoil_part(digest)
    with pytest.raises(Damaged, match=f"part {digest}"):
        await store.get_part(digest)


async def test_part_over_the_limit_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="the limit is"):
        await store.put_part(bytes(MAX_PART_BYTES + 1), "me")


async def test_concurrent_puts_of_equal_bytes_keep_one(
    store: Store, other_store: Store, engine: Engine
) -> None:
    data = os.urandom(100_000)
    async with asyncio.TaskGroup() as group:
        for number, connection in enumerate([store, other_store] * 10):
            group.create_task(connection.put_part(data, f"owner-{number % 15}"))
    assert engine.back_door.kept_bytes() == len(data)


async def test_claimed_part_is_there_whatever_others_put_and_drop(
    store: Store, other_store: Store, engine: Engine
) -> None:
    data = os.urandom(10_000)

    async def live(connection: Store, owner: str) -> None:
        for _ in range(15):
            digest = await connection.put_part(data, owner)
            assert await connection.get_part(digest) == data
            assert await connection.drop_parts(owner) == 1

    async with asyncio.TaskGroup() as group:
        for number, connection in enumerate([store, other_store] * 6):
            group.create_task(live(connection, f"owner-{number}"))
    assert engine.back_door.kept_bytes() == 0


async def test_reader_without_a_claim_finds_a_part_whole_or_not_at_all(
    store: Store, other_store: Store
) -> None:
    data = os.urandom(3_000_000)
    digest = await store.put_part(data, "me")
    await store.drop_parts("me")
    finished = asyncio.Event()

    async def write() -> None:
        for _ in range(15):
            await store.put_part(data, "me")
            await store.drop_parts("me")
        finished.set()

    async def read() -> None:
        while not finished.is_set():
            try:
                assert await other_store.get_part(digest) == data
            except NotFound:
                continue

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())
