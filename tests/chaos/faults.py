"""Every kind of fault: how it begins and how it ends.

A kind is a context: entering it injects the fault, leaving it heals what does not heal by itself, and returns once what
was broken is back. It yields the site that it hit. What it hits, and how, follows from the fault's seed alone, so that
the seed of a run gives the same schedule again.
"""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from bus.rabbit_topology import Names
from tests.chaos.curriculum import BATCH_SIZE
from tests.chaos.deliveries import double, hold
from tests.chaos.disk import Disk
from tests.chaos.load import Load
from tests.chaos.proxy import Proxy
from tests.chaos.unit import ROOT, Unit
from tests.chaos.world import Server, Site, World, work_queues

KILL, STOP, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT


@dataclass(frozen=True)
class Fault:
    """One entry of a schedule.

    Attributes:
        number: Its place, from 0.
        kind: One of KINDS.
        seed: Of its own choices.
        lasts_s: From injecting to healing.

    """

    number: int
    kind: str
    seed: int
    lasts_s: float

    @property
    def dice(self) -> random.Random:
        """What its kind chooses with; the same each time."""
        return random.Random(self.seed)


Strike = Callable[[Load, Fault], AbstractAsyncContextManager[Site]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        strike: How it begins and ends.
        share: Of a long run's faults, relative to the other kinds.
        lasts_s: From, to.

    """

    strike: Strike
    share: int
    lasts_s: tuple[float, float] = (0.0, 0.0)


@asynccontextmanager
async def _worker_killed(load: Load, fault: Fault) -> AsyncIterator[Site]:
    unit = fault.dice.choice(load.world.workers)
    unit.send(KILL)
    yield load.world.cluster
    await unit.ready.wait()


@asynccontextmanager
async def _worker_frozen(load: Load, fault: Fault) -> AsyncIterator[Site]:
    """Stop it as a long pause of its machine does: its connections stay, and time goes on."""
    unit = fault.dice.choice(load.world.workers)
    unit.send(STOP)
    try:
        yield load.world.cluster
    finally:
        unit.send(GO_ON)


@asynccontextmanager
async def _control_killed(load: Load, _: Fault) -> AsyncIterator[Site]:
    up = load.world.up
    up.send(KILL)
    yield load.world.single
    await up.ready.wait()


@asynccontextmanager
async def _submitter_killed(load: Load, fault: Fault) -> AsyncIterator[Site]:
    """Kill `rdg job submit` at some moment of its life. Its publisher asks again, and gets the job once."""
    site = fault.dice.choice(load.sites)
    token, spec = load.lone(fault.number)
    size = load.lessons.size
    submitting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control.cli", "job", "submit", "--submit-token", token),
        *("--model", spec.model, "--new-data", "zero-one", "--no-release"),
        *("--count", str(size.count), "--epochs", str(size.epochs)),
        *("--batch-size", str(BATCH_SIZE), "--seed", str(spec.seed)),
        env=site.client_environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield site
    finally:
        if submitting.returncode is None:
            submitting.kill()
        await submitting.wait()
    await load.follow_lone(site, await load.submit(site, spec, token), fault.number)


@asynccontextmanager
async def _server_down(server: Server, dice: random.Random) -> AsyncIterator[None]:
    """Kill a server or, one time in four, end it in good order; then start it again on the same data."""
    async with server.turn:
        is_orderly = dice.random() < 0.25
        await asyncio.to_thread(server.node.stop if is_orderly else server.node.kill)
        try:
            yield
        finally:
            await asyncio.to_thread(server.node.start)


@asynccontextmanager
async def _broker_killed(load: Load, fault: Fault) -> AsyncIterator[Site]:
    async with _server_down(load.world.broker, fault.dice):
        yield load.world.cluster


@asynccontextmanager
async def _database_killed(load: Load, fault: Fault) -> AsyncIterator[Site]:
    async with _server_down(load.world.database, fault.dice):
        yield load.world.cluster


def _wires(world: World, dice: random.Random) -> list[Proxy]:
    """Choose links: one in eight times all there are, else one process's to one server or to both."""
    if dice.random() < 0.125:
        return [link for links in world.wires for link in links]
    links = dice.choice(world.wires)
    return dice.sample(links, dice.randint(1, len(links)))


@asynccontextmanager
async def _cut(load: Load, fault: Fault) -> AsyncIterator[Site]:
    for link in _wires(load.world, fault.dice):
        link.cut()
    yield load.world.cluster


@asynccontextmanager
async def _healed(links: list[Proxy]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for link in links:
            link.heal()


@asynccontextmanager
async def _partitioned(load: Load, fault: Fault) -> AsyncIterator[Site]:
    """Let nothing through: silently, or with new connections refused, or with the server told and the client not."""
    dice = fault.dice
    links = _wires(load.world, dice)
    begin = dice.choice((Proxy.silence, Proxy.refuse, Proxy.forsake))
    async with _healed(links):
        for link in links:
            begin(link)
        yield load.world.cluster


@asynccontextmanager
async def _slowed(load: Load, fault: Fault) -> AsyncIterator[Site]:
    """Make links narrow and far: at most 4 KiB in 5 to 50 ms."""
    dice = fault.dice
    links = _wires(load.world, dice)
    async with _healed(links):
        for link in links:
            link.slow(delay_s=dice.uniform(0.005, 0.05), chunk_bytes=4096)
        yield load.world.cluster


@asynccontextmanager
async def _doubled(load: Load, fault: Fault) -> AsyncIterator[Site]:
    direct = load.world.cluster.direct
    doubling = double(direct.bus_url, Names(direct.namespace), fault.dice, fault.lasts_s)
    async with asyncio.TaskGroup() as group:
        group.create_task(doubling)
        yield load.world.cluster


@asynccontextmanager
async def _reordered(load: Load, fault: Fault) -> AsyncIterator[Site]:
    direct = load.world.cluster.direct
    queue = Names(direct.namespace).queue(fault.dice.choice(work_queues()))
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(direct.bus_url, queue, fault.lasts_s))
        yield load.world.cluster


@asynccontextmanager
async def _full(disk: Disk) -> AsyncIterator[None]:
    disk.fill()
    try:
        yield
    finally:
        disk.free()


@asynccontextmanager
async def _disk_full(load: Load, fault: Fault) -> AsyncIterator[Site]:
    """Fill the disk of a store. MongoDB ends itself when it cannot write, and has to be started again."""
    world, database = load.world, load.world.database
    if database.disk is None or fault.dice.random() < 0.5:
        async with _full(world.up_disk):
            yield world.single
        return
    async with database.turn:
        try:
            async with _full(database.disk):
                yield world.cluster
        finally:
            await asyncio.to_thread(database.node.start)


@asynccontextmanager
async def _broker_blocked(load: Load, _: Fault) -> AsyncIterator[Site]:
    """Make the broker believe that its disk is nearly full: it takes nothing from publishers until that is over."""
    broker = load.world.broker
    async with broker.turn:
        await broker.control("set_disk_free_limit", "100000GB")
        try:
            yield load.world.cluster
        finally:
            await broker.control("set_disk_free_limit", "50MB")


@asynccontextmanager
async def _clock_jumped(load: Load, fault: Fault) -> AsyncIterator[Site]:
    unit: Unit = fault.dice.choice(load.world.units)
    unit.send(fault.dice.choice((signal.SIGUSR1, signal.SIGUSR2)))
    yield load.world.single if unit is load.world.up else load.world.cluster


KINDS: dict[str, Kind] = {
    "worker killed": Kind(_worker_killed, 30),
    "worker frozen": Kind(_worker_frozen, 6, (0.2, 4)),
    "control process killed": Kind(_control_killed, 8),
    "submitter killed": Kind(_submitter_killed, 6, (0.2, 2)),
    "broker killed": Kind(_broker_killed, 3, (0, 2)),
    "database killed": Kind(_database_killed, 3, (0, 2)),
    "connections cut": Kind(_cut, 16),
    "partition": Kind(_partitioned, 8, (0.5, 6)),
    "slow link": Kind(_slowed, 5, (1, 5)),
    "delivered twice": Kind(_doubled, 5, (0.5, 3)),
    "reordered": Kind(_reordered, 4, (0.5, 3)),
    "disk full": Kind(_disk_full, 2, (1, 4)),
    "broker blocked": Kind(_broker_blocked, 1, (1, 3)),
    "clock jump": Kind(_clock_jumped, 3),
}


def schedule(seed: int, count: int, kinds: list[str]) -> list[Fault]:
    """Return a run's faults: each kind at least once if there are enough, the rest by their shares."""
    dice = random.Random(f"faults/{seed}")
    chosen = kinds[:count]
    shares = [KINDS[kind].share for kind in kinds]
    chosen += dice.choices(kinds, shares, k=count - len(chosen))
    dice.shuffle(chosen)
    return [
        Fault(number, kind, dice.getrandbits(32), dice.uniform(*KINDS[kind].lasts_s))
        for number, kind in enumerate(chosen)
    ]
