"""A process: which stages it attends, how it waits for its servers, and what it counts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from bus.bus import Bus
from bus.connect import connect
from bus.errors import BusUnavailable, Misconfigured
from bus.local import serve
from bus.memory import MemoryTransport
from bus.stage import topology
from bus.transport import Receiver, Subscription, Topology
from learning.generators import BUILT_IN
from schemas.documents import Job, Model
from schemas.flow import ModelReleased, Progress, RehearsalRequested
from schemas.message import derived_id
from schemas.settings import Settings
from store.base import Store
from store.errors import StoreUnavailable
from tests.bus.inbox import eventually, until
from tests.servers.rabbitmq import RabbitNode
from tests.workers.scene import KNOWN, add_job, add_version, job_now, plain, release
from workers import process
from workers.pipeline import described
from workers.process import Stopped, attending, patiently, resume, up, work

PATIENCE_S = 30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, store=SecretStr(f"sqlite://{tmp_path}/store.db"))


@asynccontextmanager
async def attended(store: Store, settings: Settings, *wanted: str) -> AsyncIterator[Bus]:
    transport = MemoryTransport()
    async with attending(transport, store, settings, wanted):
        yield Bus(transport, "test", store)


async def news_of(bus: Bus, stage: str) -> Progress:
    """The first word of that stage."""
    async with asyncio.timeout(PATIENCE_S), bus.follow(Progress, since="first") as progress:
        async for news in progress:
            if news.stage == stage:
                return news
    raise AssertionError("the log ended")


async def test_a_route_restricts_a_stage_to_one_generator(store: Store, settings: Settings) -> None:
    transport = MemoryTransport()
    async with attending(transport, store, settings, ["generation.gmm"]) as subscriptions:
        assert len(subscriptions) == 2  # orders, and scored populations
    async with attending(transport, store, settings, ["generation"]) as subscriptions:
        assert len(subscriptions) == 2 * len(BUILT_IN)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("planing", "stage 'planing' is unknown; there are planning, fitting,"),
        ("generation.gnn", "'generation.gnn': generation has generation.original, generation.gmm"),
        ("labelling.gmm", "'labelling.gmm': labelling has no routes"),
    ],
)
async def test_an_unknown_stage_or_route_is_refused_before_any_waiting(
    settings: Settings, wanted: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        async with asyncio.timeout(PATIENCE_S):
            await work(settings, ["fleet", wanted], asyncio.Event())


async def test_the_cost_of_every_message_is_on_its_job(store: Store, settings: Settings) -> None:
    await add_job(store, plain())

    async with attended(store, settings, "planning", "fitting") as bus:
        await bus.publish(RehearsalRequested(id=derived_id("a"), job="j-1"))
        await news_of(bus, "planning")
        await bus.publish(RehearsalRequested(id=derived_id("b"), job="j-1"))
        tallies = eventually(
            lambda: store.tallies("j-1"), lambda spent: spent.get("planning.messages") == 2
        )
        spent = await tallies

    assert set(spent) == {
        f"planning.{each}" for each in ("messages", "seconds", "bytes_in", "bytes_out")
    }
    assert spent["planning.bytes_in"] > 1
    assert spent["planning.bytes_out"] > 0


async def test_the_whole_system_is_its_own_bus_and_takes_no_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, bus=SecretStr("amqp://host/"))

    with pytest.raises(ValueError, match="RDG_BUS: `rdg up` is its own bus"):
        await up(settings, asyncio.Event())


async def test_a_system_that_starts_again_publishes_its_releases_and_its_open_jobs(
    store: Store,
) -> None:
    version = await add_version(store, 2)
    job = await add_job(store, plain(), state="training")
    over = Job(id="j-2", token="", model="m", spec=plain(), state="failed")
    await store.insert(over)
    bus = Bus(MemoryTransport(), "test", store)
    await bus.transport.declare(topology(described(["training"], ())))

    await resume(bus, store)

    async with asyncio.timeout(PATIENCE_S), bus.follow(ModelReleased, "m", "newest") as releases:
        assert (await anext(releases)).manifest.version == version.number
    assert await bus.transport.depth("training.training.requested.v1") == 1
    assert (await job_now(store)).state == job.state


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            "UPDATE documents SET body = json_remove(body, '$.parts') WHERE id = 'm@1'",
            "ModelVersion 'm@1' cannot be read: parts: Field required",
        ),
        ("DELETE FROM documents WHERE id = 'm@1'", "no ModelVersion 'm@1' in the store"),
        (
            "UPDATE parts SET data = x'00' WHERE digest = '{head}'",
            "part {head}: its bytes have another digest",
        ),
    ],
)
async def test_a_release_that_is_damaged_is_told_of_and_keeps_nothing_else_from_being_served(
    store: Store,
    sqlite: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    damage: str,
    problem: str,
) -> None:
    version = await add_version(store)
    other = await add_version(store, 2, KNOWN[:1], id="other@2", model="other")
    await store.insert(Model(id="other", released=2))
    await add_job(store, plain(), state="training")
    await release(store, 1)
    head = version.parts[1].digest
    sqlite(damage.format(head=head))
    bus = Bus(MemoryTransport(), "test", store)
    await bus.transport.declare(topology(described(["training"], ())))

    await resume(bus, store)

    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert said.startswith("m@1 is not on the release log")
    assert problem.format(head=head) in said
    assert said.endswith("restore it from a backup, or release another version of m")
    async with asyncio.timeout(PATIENCE_S), bus.follow(ModelReleased, "other", "first") as log:
        assert (await anext(log)).manifest.version == other.number
    assert await bus.transport.depth("training.training.requested.v1") == 1


async def test_a_worker_waits_for_its_bus_and_says_so_once_per_try(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rdg.worker")
    stop = asyncio.Event()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        working = group.create_task(work(settings, ["fleet"], stop))
        await until(lambda: "trying again" in caplog.text)
        assert not working.done()
        async with serve(MemoryTransport(), tmp_path / "bus.sock"):
            await until(lambda: "ready: fleet" in caplog.text)
            stop.set()
            await working

    waits = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len({record.created for record in waits}) == len(waits)
    assert all(str(tmp_path / "bus.sock") in record.getMessage() for record in waits)


async def test_a_worker_that_waits_stops_when_told(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(work(settings, ["fleet"], stop))
        await until(lambda: "trying again" in caplog.text)
        stop.set()


@pytest.fixture
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_S", 0.001)


class Unable(MemoryTransport):
    """A broker that answers, and at first can neither declare nor give to a consumer."""

    def __init__(self, *errors: BusUnavailable, at: str) -> None:
        super().__init__()
        self.errors = {at: list(errors)}

    async def declare(self, topology: Topology) -> None:
        self._fail("declare")
        await super().declare(topology)

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        self._fail("receive")
        async with super().receive(queue, receiver, prefetch, grace_s) as subscription:
            yield subscription

    def _fail(self, at: str) -> None:
        if self.errors.get(at):
            raise self.errors[at].pop(0)

    @asynccontextmanager
    async def connected(self, *_: object) -> AsyncIterator["Unable"]:
        yield self


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize("at", ["declare", "receive"])
async def test_a_worker_waits_for_a_broker_that_answers_and_cannot_do_it_yet(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    caplog.set_level(logging.INFO, "rdg.worker")
    few = BusUnavailable("the broker did not do it: no answer within 15 s")
    monkeypatch.setattr(process, "connect", Unable(few, few, at=at).connected)
    stop = asyncio.Event()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(work(settings, ["fleet"], stop))
        await until(lambda: "ready: fleet" in caplog.text)
        stop.set()

    assert caplog.text.count(f"{few}; trying again") == 2


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize("at", ["declare", "receive"])
async def test_a_worker_ends_where_waiting_does_not_help(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    refusal = Misconfigured("inequivalent arg 'x-max-length' for queue")
    monkeypatch.setattr(process, "connect", Unable(refusal, at=at).connected)

    with pytest.raises(Misconfigured, match="inequivalent arg"):
        async with asyncio.timeout(PATIENCE_S):
            await work(settings, ["fleet"], asyncio.Event())


def on(url: str, namespace: str, folder: Path) -> Settings:
    return Settings(home=folder, bus=SecretStr(url), namespace=namespace)


@pytest.mark.rabbit
async def test_a_queue_with_other_limits_ends_a_worker_with_its_name(
    amqp_url: str, bus_prefix: str, tmp_path: Path
) -> None:
    (queue,) = topology(described(["fleet"], ())).queues
    async with connect(amqp_url, bus_prefix) as transport:
        await transport.declare(Topology((replace(queue, limit=7),)))

    with pytest.raises(Misconfigured, match=rf"x-max-length.*{queue.name}.*RDG_NAMESPACE"):
        async with asyncio.timeout(PATIENCE_S):
            await work(on(amqp_url, bus_prefix, tmp_path), ["fleet"], asyncio.Event())


@pytest.fixture
def visitor(rabbit_node: RabbitNode, amqp_url: str, bus_prefix: str) -> Iterator[str]:
    """A user without any rights."""
    rabbit_node.control("add_user", bus_prefix, "secret")
    yield bus_prefix
    rabbit_node.control("delete_user", bus_prefix)


@pytest.mark.rabbit
async def test_a_worker_without_rights_ends_and_says_so(
    rabbit_node: RabbitNode, visitor: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(rabbit_node.control, "set_permissions", visitor, ".*", "", ".*")
    url = rabbit_node.url.replace("guest:guest", f"{visitor}:secret")

    with pytest.raises(Misconfigured, match=r"ACCESS_REFUSED.* the right to configure, write and"):
        async with asyncio.timeout(PATIENCE_S):
            await work(on(url, visitor, tmp_path), ["fleet"], asyncio.Event())


class Flaky:
    """A server that answers at the third try."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        self.tries += 1
        if self.tries < 3:
            raise self.error
        yield "open"


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("amqp://host", BusUnavailable("no broker")),
        ("mongodb://host", StoreUnavailable("no server")),
    ],
)
async def test_a_server_is_tried_until_it_answers(url: str, error: Exception) -> None:
    server, said = Flaky(error), list[str]()

    async with patiently(url, server.open, asyncio.Event(), said.append) as opened:
        assert opened == "open"

    assert said == [str(error)] * 2


@pytest.mark.parametrize("url", ["sqlite:///path", "redis://host", ""])
async def test_what_waiting_does_not_help_is_an_error_at_once(url: str) -> None:
    server = Flaky(StoreUnavailable("it cannot be opened"))

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        async with patiently(url, server.open, asyncio.Event(), print):
            pass

    assert server.tries == 1


async def test_nothing_is_opened_once_told_to_stop() -> None:
    stop, server = asyncio.Event(), Flaky(BusUnavailable("no broker"))
    stop.set()

    with pytest.raises(Stopped):
        async with patiently("amqp://host", server.open, stop, print):
            pass

    assert server.tries == 1


async def test_an_error_of_what_was_opened_is_not_waited_out() -> None:
    server = Flaky(BusUnavailable(""))
    server.tries = 2

    with pytest.raises(BusUnavailable, match="lost"):
        async with patiently("amqp://host", server.open, asyncio.Event(), print):
            raise BusUnavailable("lost")

    assert server.tries == 3
