"""Exchanges and routing keys are published to over channels of their own, of which no more are kept than are of use."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from pamqp.commands import Basic

from bus.errors import Busy, Unroutable
from bus.rabbit import RabbitTransport
from bus.rabbit_link import Link
from bus.transport import Topology
from tests.bus.inbox import ORDERS, envelope, eventually, fill, taken, until
from tests.servers.rabbitmq import RabbitNode

pytestmark = pytest.mark.rabbit

LOGS = [f"news{number}" for number in range(6)]


async def test_idle_channels_give_way_to_those_of_other_keys(
    rabbit: RabbitTransport, rabbit_node: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await channels(rabbit_node)
    monkeypatch.setattr("bus.rabbit_link.MOST_CHANNELS", 2)
    for body in (b"1", b"2"):
        for log in LOGS:
            await rabbit.append(envelope(body, log))
    await eventually(lambda: channels(rabbit_node), lambda now: now == before + 2)
    for log in LOGS:
        async with rabbit.follow(log, "first") as entries:
            assert await taken(entries, 2) == [b"1", b"2"]


async def test_more_keys_at_once_than_channels_are_kept_are_all_published(
    rabbit: RabbitTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.rabbit_link.MOST_CHANNELS", 2)
    async with asyncio.TaskGroup() as group:
        for log in LOGS:
            group.create_task(rabbit.append(envelope(b"1", log)))
    for log in LOGS:
        async with rabbit.follow(log, "first") as entries:
            assert await taken(entries, 1) == [b"1"]


async def test_refused_publishes_leave_no_channels_behind(
    rabbit: RabbitTransport, rabbit_node: RabbitNode
) -> None:
    before = await channels(rabbit_node)
    await rabbit.declare(Topology((replace(ORDERS, limit=2),)))
    await fill(rabbit)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(refused(rabbit))
    for _ in range(5):
        with pytest.raises(Unroutable):
            await rabbit.send(envelope(key="nobody's"))
    await eventually(lambda: channels(rabbit_node), lambda now: now <= before + 2)


async def refused(rabbit: RabbitTransport) -> None:
    with pytest.raises(Busy):
        await rabbit.send(envelope())


async def channels(node: RabbitNode) -> int:
    """How many channels the broker has, whoever's."""
    lines = await asyncio.to_thread(node.control, "list_channels", "pid", "--no-table-headers")
    return len(lines.splitlines())


@dataclass(eq=False)
class Paused:
    """A channel whose confirms and whose end can be held back."""

    confirming: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    asked_to_close: asyncio.Event = field(default_factory=asyncio.Event)
    routes: set[tuple[str, str]] = field(default_factory=set)
    waiting: int = 0
    waited_when_closed: int = 0
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.confirming.set()
        self.closing.set()

    async def basic_publish(
        self, body: bytes, *, exchange: str, routing_key: str, **_: object
    ) -> None:
        self.routes.add((exchange, routing_key))
        self.waiting += 1
        await self.confirming.wait()
        self.waiting -= 1

    async def close(self, error: object) -> None:
        assert isinstance(error, ConnectionError)  # a publisher sees a lost connection
        self.asked_to_close.set()
        self.waited_when_closed = self.waiting
        await self.closing.wait()
        self.is_closed = True


class Fake:
    """A connection over which channels are opened."""

    def __init__(self) -> None:
        self.transport = self.connection = self
        self.opened: list[Paused] = []

    async def ready(self) -> None:
        return

    async def channel(self, **_: object) -> Paused:
        self.opened.append(Paused())
        return self.opened[-1]


async def publish(link: Link, key: str, exchange: str = "work") -> None:
    await link.publish(exchange, key, b"x", Basic.Properties())


async def test_channel_that_was_taken_up_while_another_was_closed_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    link = Link(cast(Any, fake))
    for key in ("a", "b", "c"):
        await publish(link, key)
    a, b, c = fake.opened
    monkeypatch.setattr("bus.rabbit_link.MOST_CHANNELS", 2)
    monkeypatch.setattr("bus.rabbit_link.CLOSE_S", 600.0)
    a.closing.clear()
    b.confirming.clear()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(publish(link, "d"))
        await a.asked_to_close.wait()
        group.create_task(publish(link, "b"))
        await until(lambda: b.waiting == 1)
        a.closing.set()
        await until(lambda: len(fake.opened) == 4)
        b.confirming.set()
    assert (a.is_closed, b.is_closed, c.is_closed) == (True, False, True)
    assert b.waited_when_closed == 0


async def test_exchanges_share_no_channel_whatever_the_key() -> None:
    fake = Fake()
    link = Link(cast(Any, fake))
    for exchange in ("dead", "", "dead"):
        await publish(link, "packing.orders", exchange)
    assert [channel.routes for channel in fake.opened] == [
        {("dead", "packing.orders")},
        {("", "packing.orders")},
    ]
