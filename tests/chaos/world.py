"""What is disturbed: two whole systems, every process and every wire of which can be broken.

`cluster` is RabbitMQ, MongoDB and two workers for each stage, each with links of its own. `single` is `rdg up` on a
small disk. The client's links are proxies too; the referee looks past all of them.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from bus.stage import topology
from learning import generators
from schemas.settings import Settings
from store.base import Store
from store.connect import open_store
from tests.chaos.curriculum import add_data
from tests.chaos.disk import Disk, storage
from tests.chaos.proxy import HOST, Proxy, proxy
from tests.chaos.unit import Unit, supervised
from tests.servers.mongodb import MongoNode
from tests.servers.process import ServerProcess
from tests.servers.rabbitmq import SERVER, RabbitNode
from workers.pipeline import described, installed

GROUPS: tuple[tuple[str, ...], ...] = (
    ("generation", "prediction", "labelling", "collection"),
    ("training", "releasing"),
)
HASTE = {  # so that what takes a minute in production takes a second here
    "RDG_SLICE_S": "0.1",
    "RDG_RETRY_S": "0.2",
    "RDG_GRACE_S": "10",
    "RDG_STALL_S": "15",
    "RDG_SWEEP_S": "1",
    "RDG_DEADLINE_S": "60",
}
HEARTBEAT_S = 10
SINGLE_MEGABYTES = 64
START_S = 120.0


@dataclass(frozen=True)
class Site:
    """One system.

    Attributes:
        name: Its name.
        client: Where its clients reach it.
        direct: Where it is, past the proxies.
        store: Its store, past the proxies.

    """

    name: str
    client: Settings
    direct: Settings
    store: Store

    @property
    def client_environment(self) -> dict[str, str]:
        """The environment of a client's commands."""
        if self.client.bus is None:
            return {**os.environ, "RDG_HOME": str(self.client.home)}
        return {
            **os.environ,
            "RDG_BUS": self.client.bus_url,
            "RDG_STORE": self.client.store_url,
            "RDG_NAMESPACE": self.client.namespace,
        }


@dataclass(frozen=True)
class Server:
    """A broker or database server, in the hands of one fault at a time."""

    node: ServerProcess
    disk: Disk | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class Broker(Server):
    """RabbitMQ, which takes orders."""

    async def control(self, *words: str) -> None:
        """Run `rabbitmqctl` on it."""
        process = await asyncio.create_subprocess_exec(
            *(str(SERVER.with_name("rabbitmqctl")), "--quiet", *words),
            env=self.node._environment,  # where its name and its cookie are
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()


@dataclass(frozen=True)
class World:
    """All of it."""

    broker: Broker
    database: Server
    workers: tuple[Unit, ...]
    up: Unit
    up_disk: Disk
    client_links: tuple[Proxy, ...]
    cluster: Site
    single: Site

    @cached_property
    def wires(self) -> tuple[tuple[Proxy, ...], ...]:
        """The links of each process that has some."""
        return (*(unit.links for unit in self.workers), self.client_links)

    @property
    def units(self) -> tuple[Unit, ...]:
        """All supervised processes."""
        return (*self.workers, self.up)

    def site(self, name: str) -> Site:
        """Return the system of that name."""
        return {site.name: site for site in (self.cluster, self.single)}[name]


@dataclass(frozen=True)
class Nodes:
    """The servers of a world, running.

    Attributes:
        broker: RabbitMQ.
        database: MongoDB.
        database_name: Of a database of this run's own.
        namespace: On the broker, of this run's own.
        database_disk: What the database is on, if that can be full.

    """

    broker: RabbitNode
    database: MongoNode
    database_name: str
    namespace: str
    database_disk: Disk | None = None


@asynccontextmanager
async def world(nodes: Nodes, folder: Path, replicas: int) -> AsyncIterator[World]:
    """Run both systems, with the data sets of the chains in their stores, until the context ends."""
    async with AsyncExitStack() as stack:
        home = Path(
            stack.enter_context(TemporaryDirectory(prefix="rdg-"))
        )  # short: it holds a socket
        pids: list[Callable[[], int]] = []
        disk = stack.enter_context(storage(home, SINGLE_MEGABYTES, lambda: pids[0]()))
        wiring = _Wiring(nodes, stack)
        workers = [
            await wiring.worker(f"{stages[0]}-{number}", stages, folder)
            for stages in _groups()
            for number in range(replicas)
        ]
        up = Unit("up", ("control.cli", "up"), {**HASTE, "RDG_HOME": str(home)}, folder / "up.log")
        pids.append(lambda: up.pid)
        await stack.enter_async_context(supervised([*workers, up]))
        client_links = await wiring.links()
        alone = Settings(home=home)
        world = World(
            Broker(nodes.broker),
            Server(nodes.database, nodes.database_disk),
            tuple(workers),
            up,
            disk,
            client_links,
            await _site(stack, "cluster", wiring.settings(*client_links), wiring.direct),
            await _site(stack, "single", alone, alone),
        )
        async with asyncio.timeout(START_S):
            for unit in world.units:
                await unit.ready.wait()
        yield world


def work_queues() -> list[str]:
    """Return the names of all work queues."""
    stages = described(installed(), generators.installed())
    return [queue.name for queue in topology(stages).queues]


def _groups() -> list[tuple[str, ...]]:
    """Return the stages of each worker: those of GROUPS, and one worker for all others."""
    named = {stage for group in GROUPS for stage in group}
    return [tuple(stage for stage in installed() if stage not in named), *GROUPS]


@dataclass(frozen=True)
class _Wiring:
    nodes: Nodes
    stack: AsyncExitStack

    @property
    def direct(self) -> Settings:
        url = self.nodes.database.database_url(self.nodes.database_name)
        return self._settings(self.nodes.broker.url, url)

    async def links(self) -> tuple[Proxy, Proxy]:
        """Return new links to the broker and to the database."""
        ports = (self.nodes.broker.port, self.nodes.database.port)
        bus, store = [await self.stack.enter_async_context(proxy(port)) for port in ports]
        return bus, store

    def settings(self, bus: Proxy, store: Proxy) -> Settings:
        """Return where the servers are by way of two links."""
        return self._settings(*self._urls(bus, store))

    async def worker(self, name: str, stages: tuple[str, ...], folder: Path) -> Unit:
        links = await self.links()
        bus, store = self._urls(*links)
        environment = {"RDG_BUS": bus, "RDG_STORE": store, "RDG_NAMESPACE": self.nodes.namespace}
        return Unit(
            name, ("workers", *stages), {**HASTE, **environment}, folder / f"{name}.log", links
        )

    def _urls(self, bus: Proxy, store: Proxy) -> tuple[str, str]:
        # A driver that were told of the replica set would go to its members, past the proxy.
        return (
            f"amqp://guest:guest@{HOST}:{bus.port}/?heartbeat={HEARTBEAT_S}",
            f"mongodb://{HOST}:{store.port}/{self.nodes.database_name}?directConnection=true",
        )

    def _settings(self, bus: str, store: str) -> Settings:
        return Settings(bus=SecretStr(bus), store=SecretStr(store), namespace=self.nodes.namespace)


async def _site(stack: AsyncExitStack, name: str, client: Settings, direct: Settings) -> Site:
    store = await stack.enter_async_context(open_store(direct.store_url))
    await add_data(store)
    return Site(name, client, direct, store)
