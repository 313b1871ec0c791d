"""An empty store, the resources that every stage of these tests gets, and the scenes of several files."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bus.bus import Bus
from bus.memory import MemoryTransport
from bus.stage import topology
from bus.transport import Topology
from schemas.documents import Dataset, Monitor
from schemas.monitoring import MonitorPolicy
from store.base import Store
from store.connect import open_store
from tests.workers.monitored import REQUESTS, Device, Scene
from tests.workers.scene import (
    KNOWN,
    add_dataset,
    add_fitted,
    add_job,
    add_reference,
    add_version,
    rehearsal,
    scores,
)
from tests.workers.watch import DEADLINE_S, STAGES, STALL_S, Counting, Watch
from workers.resources import Resources
from workers.watchdog import Watchdog


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


@pytest.fixture
async def dataset(store: Store) -> Dataset:
    """What the jobs learn."""
    return await add_dataset(store)


@pytest.fixture
async def _generating(store: Store) -> None:
    """A job whose shards come in, of a fit that left the statistics of its data."""
    await add_fitted(store, reference=await add_reference(store))
    fitted = dict.fromkeys(KNOWN, ("gmm-earlier",))
    await add_job(store, rehearsal(), state="generating", fitted=fitted)


@pytest.fixture
async def scene(store: Store, resources: Resources) -> Scene:
    await add_version(store, scores=scores(0.95, measured_on="field"))
    policy = MonitorPolicy(spec=rehearsal(), window=500, reference=2000, cooldown_s=3600)
    await store.insert(Monitor(id="m", policy=policy))
    transport = MemoryTransport()
    await transport.declare(Topology((REQUESTS,)))
    return Scene(store, Device(resources), transport)


@pytest.fixture
async def watch(store: Store, resources: Resources) -> Watch:
    transport = Counting()
    await transport.declare(topology(STAGES))
    bus = Bus(transport, "test", store)
    dog = Watchdog(bus, resources, STAGES, STALL_S, DEADLINE_S)
    watch = Watch(dog, transport)
    dog.clock = lambda: watch.now
    return watch
