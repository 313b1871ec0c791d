"""Fixtures of the people's view: a store, a bus that keeps what is published, and a whole world on both."""

import logging
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bus.bus import Bus
from bus.memory import MemoryTransport
from control.verbs import dead_letters
from schemas.documents import Model
from store.base import Store, change
from store.connect import open_store
from tests.control.home import Home
from tests.control.world import QUEUES, fill, version


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(f"sqlite://{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
async def bus(store: Store) -> Bus:
    """A bus with the queues that people's verbs publish to, and nobody who takes from them."""
    transport = MemoryTransport()
    await transport.declare(QUEUES)
    return Bus(transport, "test", store)


@pytest.fixture
async def world(store: Store) -> Store:
    """The store with the world of tests/control/world.py in it."""
    await fill(store)
    return store


@pytest.fixture
async def history(world: Store) -> Store:
    """digits@1 and @3 released, @2 a candidate that was refused; @3 is current."""
    await world.insert(version(2, base=1, status="refused"))
    await world.insert(version(3, base=1))
    await change(world, Model, "digits", lambda model: model.model_copy(update={"released": 3}))
    return world


@pytest.fixture
def home(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Home]:
    """An empty home folder with a bus, and nobody who takes from it."""
    path = tmp_path_factory.mktemp("home")  # short: a socket's path may not be long
    for name in ("RDG_BUS", "RDG_STORE", "RDG_DATA_DIR", "RDG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RDG_HOME", str(path))
    queues = EntryPoint("pipeline", "workers.pipeline:queues", dead_letters.GROUP)
    monkeypatch.setattr(dead_letters, "entry_points", lambda group: [queues])
    monkeypatch.chdir(path)
    made = Home(path, capsys)
    with made.served():
        yield made
    logging.disable(logging.NOTSET)


@pytest.fixture
def full_home(home: Home) -> Home:
    """A home with the world in its store and queues on its bus."""
    home.with_store(fill)
    home.declare(QUEUES)
    return home
