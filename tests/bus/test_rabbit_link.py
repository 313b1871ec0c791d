"""Each routing key is published over a channel of its own, and no more channels are kept than are of use."""

import asyncio
from dataclasses import replace

import pytest

from bus.errors import Busy, Unroutable
from bus.rabbit import RabbitTransport
from bus.transport import Topology
from tests.bus.inbox import ORDERS, envelope, eventually, fill, taken
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
