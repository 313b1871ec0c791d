"""An empty store, and the resources that every stage of these tests gets."""

from collections.abc import AsyncIterator
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
def resources(store: Store) -> Resources:
    return Resources(store, ("original", "gmm", "ga"), slice_s=60)
