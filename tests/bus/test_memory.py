"""What only the memory transport does: it is bounded, and forgets."""

import asyncio

import pytest

from bus import memory
from bus.errors import Busy
from bus.memory import MemoryTransport
from bus.transport import Delivery, Queue, Topology
from tests.bus.inbox import ORDERS, TOPOLOGY, Inbox, envelope, receiving, taken


async def test_message_that_one_of_its_queues_has_no_room_for_is_in_none_of_them() -> None:
    small = Queue("counting.orders", "orders", limit=1)
    transport = MemoryTransport()
    await transport.declare(TOPOLOGY + Topology((small,)))
    await transport.send(envelope())
    with pytest.raises(Busy, match=r"counting.orders is full \(1 messages\)"):
        await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 1
    assert await transport.depth(small.name) == 1


async def test_log_is_bounded_by_bytes_and_keeps_its_newest_entry_however_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "LOG_BYTES", 100)
    transport = MemoryTransport()
    async with (
        transport.follow("news", "first") as entries,
        transport.follow("news", "first") as late,
    ):
        for size in (40, 50, 60):
            await transport.append(envelope(bytes(size), key="news"))
        assert [len(body) for body in await taken(entries, 1)] == [60]
        await transport.append(envelope(bytes(30), key="news"))
        assert [len(body) for body in await taken(entries, 1)] == [30]
        await transport.append(envelope(bytes(200), key="news"))
        assert [len(body) for body in await taken(late, 1)] == [200]


async def test_dead_letters_are_bounded_the_oldest_goes_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "DEAD_LIMIT", 2)
    transport = MemoryTransport()
    await transport.declare(TOPOLOGY)
    inbox = Inbox(lambda delivery: delivery.bury("reason", ""))
    async with receiving(transport, inbox):
        for number in range(3):
            await transport.send(envelope(name=str(number)))
        await inbox.holds(3)
    assert [letter.id for letter in await transport.dead(ORDERS.name, 9)] == ["2", "1"]
    assert f"dropped a dead letter of {ORDERS.name}" in caplog.text


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
