"""Which store a URL means."""

from pathlib import Path

import pytest

from schemas.documents import Model
from store.cache import CachedParts
from store.connect import open_store
from store.errors import StoreUnavailable
from store.mongo import MongoStore
from store.sqlite import SqliteStore


async def test_sqlite_url_names_a_file(sqlite_path: Path) -> None:
    async with (
        open_store(f"sqlite://{sqlite_path}") as store,
        SqliteStore.open(sqlite_path) as same,
    ):
        assert isinstance(store, SqliteStore)
        await store.insert(Model(id="m"))
        assert (await same.get(Model, "m")).id == "m"


@pytest.mark.mongo
async def test_mongodb_url_names_a_database(mongo_url: str) -> None:
    async with open_store(mongo_url) as store:
        assert isinstance(store, MongoStore)


async def test_cache_is_in_front_when_it_has_room(sqlite_path: Path) -> None:
    async with open_store(f"sqlite://{sqlite_path}", cache_bytes=1) as store:
        assert isinstance(store, CachedParts)


@pytest.mark.parametrize("url", ["redis://host", "/path/store.db", ""])
async def test_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(
        StoreUnavailable, match=r"RDG_STORE: \w+ scheme; use mongodb:// or sqlite://"
    ):
        async with open_store(url):
            pass
