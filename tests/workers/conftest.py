"""An empty store, and the resources that every stage of these tests gets."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from store.base import Store
from store.connect import open_store
from workers.resources import Resources


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite://{tmp_path}/store.db") as store:
        yield store


@pytest.fixture
def sqlite(tmp_path: Path) -> Callable[[str], None]:
    """Changes to the file of `store` that no verb makes."""

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
            assert connection.execute(statement).rowcount == 1

    return execute


@pytest.fixture
def resources(store: Store) -> Resources:
    return Resources(store, ("original", "gmm", "ga"), slice_s=60)
