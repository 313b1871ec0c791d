"""A store of each engine, empty at first."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.base import Store
from store.mongo import MongoStore
from store.sqlite import SqliteStore
from tests.store.engines import Engine, MongoBackDoor, SqliteBackDoor


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "sqlite":
        path: Path = request.getfixturevalue("sqlite_path")
        return Engine(lambda: SqliteStore.open(path), SqliteBackDoor(path))
    url: str = request.getfixturevalue("mongo_url")
    return Engine(lambda: MongoStore.connect(url), MongoBackDoor(url))


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with engine.open() as store:
        yield store


@pytest.fixture
async def other_store(engine: Engine) -> AsyncIterator[Store]:
    """A second connection to the same data, as another process has."""
    async with engine.open() as store:
        yield store
