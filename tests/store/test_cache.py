"""Parts in memory: as many bytes as allowed, the latest used, and none that was dropped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.documents import Model
from store.base import Store
from store.cache import CachedParts
from store.errors import NotFound
from store.sqlite import SqliteStore
from tests.store.engines import SqliteBackDoor


@pytest.fixture
async def inner(sqlite_path: Path) -> AsyncIterator[Store]:
    async with SqliteStore.open(sqlite_path) as store:
        yield store


async def is_remembered(cached: CachedParts, inner: Store, digest: str) -> bool:
    """Tell whether a part can be had after everybody's claims on it ended in the store behind."""
    owners = ["me", "other"]
    for owner in owners:
        await inner.drop_parts(owner, digest)
    try:
        await cached.get_part(digest)
    except NotFound:
        return False
    return True


async def test_part_is_read_from_the_store_once(inner: Store) -> None:
    digest = await inner.put_part(b"data", "me")
    cached = CachedParts(inner, 10)
    assert await cached.get_part(digest) == b"data"
    assert await is_remembered(cached, inner, digest)


async def test_part_that_was_put_need_not_be_read(inner: Store) -> None:
    cached = CachedParts(inner, 10)
    digest = await cached.put_part(b"data", "me")
    assert await is_remembered(cached, inner, digest)


async def test_part_used_longest_ago_makes_room(inner: Store) -> None:
    cached = CachedParts(inner, 8)
    first = await cached.put_part(b"aaaa", "me")
    second = await cached.put_part(b"bbbb", "me")
    await cached.get_part(first)
    third = await cached.put_part(b"cccc", "me")
    assert await is_remembered(cached, inner, first)
    assert await is_remembered(cached, inner, third)
    assert not await is_remembered(cached, inner, second)


async def test_part_over_the_limit_displaces_nothing(inner: Store) -> None:
    cached = CachedParts(inner, 8)
    small = await cached.put_part(b"aaaa", "me")
    large = await cached.put_part(b"b" * 9, "me")
    assert await is_remembered(cached, inner, small)
    assert not await is_remembered(cached, inner, large)


async def test_part_that_was_dropped_is_not_found(inner: Store) -> None:
    cached = CachedParts(inner, 100)
    digest = await cached.put_part(b"data", "me")
    assert await cached.drop_parts("me", digest) == 1
    with pytest.raises(NotFound):
        await cached.get_part(digest)


async def test_all_else_is_the_store_behind(inner: Store, sqlite_path: Path) -> None:
    cached: Store = CachedParts(inner, 100)
    assert await cached.insert(Model(id="m")) is True
    assert await cached.get(Model, "m") == await inner.get(Model, "m")
    await cached.put_part(b"data", "me")
    assert SqliteBackDoor(sqlite_path).kept_bytes() == 4
    assert await cached.ping() == await inner.ping()
