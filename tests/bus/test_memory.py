"""What only the memory transport does: it is bounded, and forgets."""

import asyncio

import pytest

from bus import memory
from bus.errors import Busy
from bus.memory import MemoryTransport
from bus.transport import Delivery, Queue, Topology
from tests.bus.inbox import ORDERS, TOPOLOGY, Inbox, envelope, receiving, taken


async def test_full_queue_is_busy_and_keeps_nothing_of_the_message() -> None:
    other = Queue("counting.orders", "orders")
    transport = MemoryTransport(queue_limit=2)
    await transport.declare(TOPOLOGY)
    await transport.send(envelope())
    await transport.send(envelope())
    await transport.declare(TOPOLOGY + Topology((other,)))
    with pytest.raises(Busy, match="orders is full"):
        await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 2
    assert await transport.depth(other.name) == 0


async def test_log_keeps_its_newest_entries_and_a_slow_reader_goes_on_with_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "LOG_LIMIT", 3)
    transport = MemoryTransport()
    async with transport.follow("news", "first") as entries:
        for number in range(5):
            await transport.append(envelope(b"%d" % number, key="news"))
        assert await taken(entries, 3) == [b"2", b"3", b"4"]


async def test_message_taken_but_not_yet_begun_is_not_lost_when_leaving() -> None:
    transport = MemoryTransport()
    await transport.declare(TOPOLOGY)
    inbox = Inbox()
    for number in range(20):
        await transport.send(envelope(b"%d" % number))
    async with receiving(transport, inbox, prefetch=20, grace_s=0):
        await asyncio.sleep(0)  # one turn of the loop: taken, not begun
    rest = Inbox()
    async with receiving(transport, rest):
        await rest.holds(20 - len(inbox.deliveries))
    assert sorted(map(int, inbox.bodies + rest.bodies)) == list(range(20))


async def test_leaving_at_once_does_not_deliver_what_was_settled_again() -> None:
    transport = MemoryTransport()
    await transport.declare(TOPOLOGY)

    async def acknowledge_then_linger(delivery: Delivery) -> None:
        await delivery.ack()
        await asyncio.Event().wait()

    inbox = Inbox(acknowledge_then_linger)
    await transport.send(envelope())
    async with receiving(transport, inbox, grace_s=0):
        await inbox.holds(1)
    assert await transport.depth(ORDERS.name) == 0
