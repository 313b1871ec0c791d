"""Dead letters, on every transport: what they say, and how they come back."""

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bus.errors import Busy
from bus.transport import DeadLetter, Delivery, Queue, QueueStatus, Topology, Transport
from tests.bus.inbox import (
    ORDERS,
    TOPOLOGY,
    Inbox,
    envelope,
    receiving,
    until_dead,
    until_depth,
    until_status,
)


async def bury(
    transport: Transport,
    names: Sequence[str],
    topology: Topology = TOPOLOGY,
    body: bytes | None = None,
) -> None:
    """Make dead letters of these ids, each with its id as body, or all with the same."""
    await transport.declare(topology)
    inbox = Inbox(lambda delivery: delivery.bury("broken", "trace"))
    async with receiving(transport, inbox):
        for count, name in enumerate(names, start=1):
            await transport.send(envelope(body or name.encode(), name=name))
            await inbox.holds(count)
        await until_dead(transport, ORDERS.name, len(names))


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Measure the most that was allocated at a time since the context was entered."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def dead_ids(transport: Transport) -> list[str]:
    return sorted(letter.id for letter in await transport.dead(ORDERS.name, 100))


async def test_buried_message_is_a_dead_letter_that_says_why(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)

    async def bury_second_attempt(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            await delivery.retry(0.1, "not yet")
        else:
            await delivery.bury("ValueError: broken", "Traceback: line 1")

    begun = datetime.now(UTC)
    inbox = Inbox(bury_second_attempt)
    async with receiving(transport, inbox):
        await transport.send(envelope(b"broken", name="7"))
        (letter,) = await until_dead(transport, ORDERS.name, 1)
    assert (letter.key, letter.id, letter.size_bytes) == ("orders", "7", 6)
    assert letter.headers == {
        **envelope(name="7").headers,
        "rdg-reason": "ValueError: broken",
        "rdg-attempt": "2",
        "rdg-queue": ORDERS.name,
        "rdg-trace": "Traceback: line 1",
        "rdg-died": letter.headers["rdg-died"],
    }
    died = datetime.fromisoformat(letter.headers["rdg-died"])
    assert begun <= died <= datetime.now(UTC)
    assert await transport.depth(ORDERS.name) == 0


async def test_reading_dead_letters_stops_at_the_limit_and_leaves_them_there(
    transport: Transport,
) -> None:
    await bury(transport, "abcde")
    assert len(await transport.dead(ORDERS.name, 3)) == 3
    assert await dead_ids(transport) == list("abcde")


async def test_the_last_that_died_are_read_first(transport: Transport) -> None:
    await bury(transport, "abcde")
    for limit in (1, 3, 10):
        letters = await transport.dead(ORDERS.name, limit)
        assert [letter.id for letter in letters] == list("edcba")[:limit]


async def test_dead_letters_can_be_asked_for_by_id(transport: Transport) -> None:
    await bury(transport, "abcde")
    letters = await transport.dead(ORDERS.name, 100, ["b", "d", "absent"])
    assert sorted(letter.id for letter in letters) == ["b", "d"]
    assert await dead_ids(transport) == list("abcde")


async def test_letter_is_read_whole_by_its_id_and_stays(transport: Transport) -> None:
    await bury(transport, "abc")
    letter = await transport.letter(ORDERS.name, "b")
    assert letter
    assert (letter.key, letter.id, letter.body) == ("orders", "b", b"b")
    [listed] = await transport.dead(ORDERS.name, 1, ["b"])
    assert DeadLetter.of(letter) == listed
    assert await transport.letter(ORDERS.name, "absent") is None
    assert await dead_ids(transport) == list("abc")


async def test_bodies_of_letters_are_not_in_memory_together(transport: Transport) -> None:
    await bury(transport, [str(number) for number in range(32)], body=bytes(1 << 20))
    with traced() as peak_bytes:
        letters = await transport.dead(ORDERS.name, 100)
        assert [letter.size_bytes for letter in letters] == [1 << 20] * 32
        assert await transport.purge(ORDERS.name, ["0", "31"]) == 2
        assert peak_bytes() < 16 << 20


async def test_replayed_message_is_the_one_that_died_at_its_first_attempt_in_its_own_queue_only(
    transport: Transport,
) -> None:
    other = Queue("counting.orders", "orders")
    await bury(transport, "a", TOPOLOGY + Topology((other,)))
    inbox = Inbox()
    assert await transport.replay(ORDERS.name) == 1
    async with receiving(transport, inbox):
        await inbox.holds(1)
    [delivery] = inbox.deliveries
    assert delivery.envelope == envelope(b"a", name="a")
    assert (delivery.attempt, delivery.redelivered) == (1, False)
    assert await transport.dead(ORDERS.name, 100) == []
    assert await transport.depth(other.name) == 1


async def test_replayed_message_may_be_retried_and_die_again(transport: Transport) -> None:
    async def fail_again(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            await delivery.retry(0.1, "not yet")
        else:
            await delivery.bury("still broken", "")

    await bury(transport, "a")
    await transport.replay(ORDERS.name)
    async with receiving(transport, Inbox(fail_again)):
        [letter] = await until_dead(transport, ORDERS.name, 1)
    assert (letter.key, letter.id, letter.size_bytes) == ("orders", "a", 1)
    assert (letter.headers["rdg-reason"], letter.headers["rdg-attempt"]) == ("still broken", "2")


async def test_replay_meets_a_message_that_dies_again_only_once(transport: Transport) -> None:
    await bury(transport, "ab")
    async with receiving(transport, Inbox(lambda delivery: delivery.bury("again", ""))):
        async with asyncio.timeout(30):
            assert await transport.replay(ORDERS.name) == 2
        await until_dead(transport, ORDERS.name, 2)


@pytest.mark.parametrize(("ids", "gone"), [(None, "abcde"), (["b", "d", "x"], "bd"), ([], "")])
async def test_replay_is_of_the_ids_given_or_of_all(
    transport: Transport, ids: list[str] | None, gone: str
) -> None:
    await bury(transport, "abcde")
    assert await transport.replay(ORDERS.name, ids) == len(gone)
    left = [name for name in "abcde" if name not in gone]
    await until_status(transport, QueueStatus(waiting=len(gone), receivers=0, dead=len(left)))
    assert await dead_ids(transport) == left


@pytest.mark.parametrize(("ids", "gone"), [(None, "abcde"), (["b", "d", "x"], "bd"), ([], "")])
async def test_purge_deletes_the_ids_given_or_all(
    transport: Transport, ids: list[str] | None, gone: str
) -> None:
    await bury(transport, "abcde")
    assert await transport.purge(ORDERS.name, ids) == len(gone)
    left = [name for name in "abcde" if name not in gone]
    await until_status(transport, QueueStatus(waiting=0, receivers=0, dead=len(left)))
    assert await dead_ids(transport) == left


async def test_replay_into_a_full_queue_is_busy_and_what_has_no_room_stays_a_dead_letter(
    transport: Transport,
) -> None:
    small = replace(ORDERS, limit=3)
    await bury(transport, "abcdefgh", Topology((small,)))
    with pytest.raises(Busy):
        await transport.replay(ORDERS.name)
    back = await transport.depth(ORDERS.name)
    assert 3 <= back < 8  # a broker may take a few more before it refuses
    assert len(await until_dead(transport, ORDERS.name, 8 - back)) == 8 - back


async def test_replays_at_the_same_time_lose_nothing(transport: Transport) -> None:
    names = [str(number) for number in range(40)]
    await bury(transport, names)
    async with asyncio.TaskGroup() as group:
        replays = [group.create_task(transport.replay(ORDERS.name)) for _ in range(3)]
    waiting = sum(replay.result() for replay in replays)
    assert waiting == 40
    await until_depth(transport, ORDERS.name, 40)
    inbox = Inbox()
    async with receiving(transport, inbox):
        await inbox.holds(40)
    assert sorted(inbox.bodies) == sorted(name.encode() for name in names)
