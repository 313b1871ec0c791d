"""What becomes of work and logs when one of three brokers dies at once: the leader of a queue, or a client's own node.

Leaders are where a queue was declared. The rest of the cluster elects another within seconds.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest

from bus.errors import BusUnavailable, Busy
from bus.rabbit import RabbitTransport
from bus.transport import Envelope, QueueStatus
from tests.bus.inbox import (
    ORDERS,
    PATIENCE_S,
    TOPOLOGY,
    Inbox,
    envelope,
    until,
    until_status,
)
from tests.servers.rabbitmq import RabbitCluster

pytestmark = pytest.mark.rabbit

LANES = 200
LANE_S, PAUSE_S = 0.02, 0.2  # between two lanes' beginnings; between two messages of a lane
BEFORE, AFTER = 200, 400  # messages confirmed before the kill, and after it
BESIDE = 50  # messages of work that the same process sent before
END = b"end"


class Load:
    """Publishes messages LANE.NUMBER as stages do: many at a time, each again until it is confirmed.

    New lanes begin for seconds, so that some begin right after the loss of a leader, and do not wait for its answer.
    """

    def __init__(self, key: str, publish: Callable[[Envelope], Awaitable[None]]) -> None:
        self.confirmed: list[bytes] = []
        self.repeated: set[bytes] = set()
        self._key = key
        self._publish = publish
        self._stopped = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._begin_lanes(group))
            yield
            self._stopped = True

    async def goes_on(self, messages: int) -> None:
        enough = len(self.confirmed) + messages
        await until(lambda: len(self.confirmed) >= enough)

    async def confirm(self, body: bytes) -> None:
        message = envelope(body, self._key, body.decode())
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self._publish(message)
                except (BusUnavailable, Busy):  # it may be kept all the same
                    self.repeated.add(body)
                    await asyncio.sleep(0.1)
                else:
                    break
        self.confirmed.append(body)

    async def _begin_lanes(self, group: asyncio.TaskGroup) -> None:
        for lane in range(LANES):
            if not self._stopped:
                group.create_task(self._lane(lane))
                await asyncio.sleep(LANE_S)

    async def _lane(self, lane: int) -> None:
        for number in count():
            if self._stopped:
                return
            await self.confirm(b"%d.%d" % (lane, number))
            await asyncio.sleep(PAUSE_S)


async def test_every_queue_and_log_has_a_replica_on_each_of_three_nodes(
    rabbit_cluster: RabbitCluster, bus_prefix: str
) -> None:
    async with RabbitTransport.connect(rabbit_cluster.url, bus_prefix) as rabbit:
        await rabbit.declare(TOPOLOGY)
        await rabbit.append(envelope(key="news"))
    queue = f"{bus_prefix}.{ORDERS.name}"
    for name in (queue, f"{queue}.dlq", f"{bus_prefix}.log.news"):
        replicas = await asyncio.to_thread(rabbit_cluster.replicas_of, name)
        assert replicas == set(rabbit_cluster.nodes), name


async def test_follower_keeps_every_entry_once_and_in_order_when_the_leader_of_its_log_is_killed(
    rabbit_cluster: RabbitCluster, bus_prefix: str
) -> None:
    async with clients(rabbit_cluster, bus_prefix) as (leading, reader, writer):
        await leading.append(envelope(b"first", "news"))
        leader = await asyncio.to_thread(rabbit_cluster.leader_of, f"{bus_prefix}.log.news")
        assert leader is rabbit_cluster.nodes[0]
        await leading.declare(TOPOLOGY)
        for _ in range(BESIDE):
            await writer.send(envelope())
        load = Load("news", writer.append)
        async with reader.follow("news", "first") as entries:
            async with load.running():
                await load.goes_on(BEFORE)
                await asyncio.to_thread(leader.kill)
                await load.goes_on(AFTER)
            await load.confirm(END)
            seen = await until_end(entries)
        assert_kept(load, seen)
        async with writer.follow("news", "first") as entries:
            assert await until_end(entries) == seen


async def test_confirmed_work_is_done_when_the_leader_of_its_queue_is_killed(
    rabbit_cluster: RabbitCluster, bus_prefix: str
) -> None:
    inbox = Inbox()
    async with clients(rabbit_cluster, bus_prefix) as (leading, receiver, sender):
        await leading.declare(TOPOLOGY)
        leader = await asyncio.to_thread(rabbit_cluster.leader_of, f"{bus_prefix}.{ORDERS.name}")
        assert leader is rabbit_cluster.nodes[0]
        load = Load("orders", sender.send)
        async with receiver.receive(ORDERS.name, inbox, 10, 5) as subscription:
            async with load.running():
                await load.goes_on(BEFORE)
                await asyncio.to_thread(leader.kill)
                await load.goes_on(AFTER)
            await until(lambda: set(load.confirmed) <= set(inbox.bodies))
            await until(lambda: subscription.is_active)
            await until_status(sender, QueueStatus(waiting=0, receivers=1, dead=0))


async def test_client_whose_own_node_is_killed_goes_on_at_another_of_its_url(
    rabbit_cluster: RabbitCluster, bus_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.rabbit_link.ANSWER_S", 5.0)
    inbox = Inbox()
    async with RabbitTransport.connect(rabbit_cluster.url, bus_prefix) as rabbit:
        await rabbit.declare(TOPOLOGY)
        work, news = Load("orders", rabbit.send), Load("news", rabbit.append)
        async with (
            rabbit.receive(ORDERS.name, inbox, 10, 5) as subscription,
            rabbit.follow("news", "first") as entries,
        ):
            own = await asyncio.to_thread(rabbit_cluster.server_of_the_only_client)
            async with work.running(), news.running():
                await work.goes_on(BEFORE)
                await news.goes_on(BEFORE)
                await asyncio.to_thread(own.kill)
                await work.goes_on(AFTER)
                await news.goes_on(AFTER)
            assert not own.is_running
            await news.confirm(END)
            seen = await until_end(entries)
            await until(lambda: set(work.confirmed) <= set(inbox.bodies))
            await until(lambda: subscription.is_active)
        assert_kept(news, seen)
        async with rabbit.follow("news", "first") as entries:
            assert await until_end(entries) == seen


@asynccontextmanager
async def clients(
    cluster: RabbitCluster, namespace: str
) -> AsyncIterator[tuple[RabbitTransport, RabbitTransport, RabbitTransport]]:
    """Open a client of each node, which knows no other."""
    one, two, three = (RabbitTransport.connect(node.url, namespace) for node in cluster.nodes)
    async with one as first, two as second, three as third:
        yield first, second, third


async def until_end(entries: AsyncIterator[Envelope]) -> list[bytes]:
    """The bodies of a log's entries up to END."""
    bodies: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while END not in bodies[-1:]:
            bodies.append((await anext(entries)).body)
    return bodies


def assert_kept(load: Load, seen: list[bytes]) -> None:
    """All that was confirmed is there, each lane in order, and once unless it was published again."""
    assert set(load.confirmed) - set(seen) == set()
    assert {body for body, times in Counter(seen).items() if times > 1} <= load.repeated
    lanes: dict[bytes, list[int]] = {}
    for lane, _, number in (body.partition(b".") for body in dict.fromkeys(seen)):
        lanes.setdefault(lane, []).append(int(number or 0))
    assert all(numbers == list(range(len(numbers))) for numbers in lanes.values())
