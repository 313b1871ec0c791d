"""The contract of every transport."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from bus.errors import Unroutable
from bus.transport import Delivery, Envelope, Queue, QueueStatus, Topology, Transport
from tests.bus.inbox import (
    ORDERS,
    TOPOLOGY,
    Inbox,
    envelope,
    receiving,
    taken,
    until,
    until_depth,
    until_status,
)


async def test_message_reaches_exactly_one_of_two_competing_receivers(
    transport: Transport,
) -> None:
    await transport.declare(TOPOLOGY)
    left, right = Inbox(), Inbox()
    async with receiving(transport, left), receiving(transport, right):
        for number in range(20):
            await transport.send(envelope(b"%d" % number))
        await until(lambda: len(left.deliveries) + len(right.deliveries) >= 20)
    assert sorted(map(int, left.bodies + right.bodies)) == list(range(20))
    assert left.bodies
    assert right.bodies


async def test_message_reaches_every_queue_bound_to_its_key(transport: Transport) -> None:
    other = Queue("counting.orders", "orders")
    await transport.declare(TOPOLOGY + Topology((other,)))
    await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 1
    assert await transport.depth(other.name) == 1


async def test_message_that_no_queue_takes_is_refused(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    with pytest.raises(Unroutable, match=r"parcels") as refused:
        await transport.send(envelope(key="parcels"))
    assert refused.value.key == "parcels"


async def test_message_before_any_declaration_is_refused(transport: Transport) -> None:
    with pytest.raises(Unroutable, match="orders"):
        await transport.send(envelope())
    await transport.declare(TOPOLOGY)
    await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 1


async def test_declaring_again_changes_nothing(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    await transport.send(envelope())
    await transport.declare(TOPOLOGY)
    assert await transport.depth(ORDERS.name) == 1
    with pytest.raises(Unroutable):
        await transport.send(envelope(key="parcels"))


async def test_unsettled_delivery_comes_again_and_says_so(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)

    async def forget_first(delivery: Delivery) -> None:
        if len(inbox.deliveries) > 1:
            await delivery.ack()

    inbox = Inbox(forget_first)
    async with receiving(transport, inbox):
        await transport.send(envelope(b"again"))
        await inbox.holds(2)
    assert inbox.bodies == [b"again", b"again"]
    assert [delivery.attempt for delivery in inbox.deliveries] == [1, 1]
    assert [delivery.redelivered for delivery in inbox.deliveries] == [False, True]


async def test_failing_receiver_gets_the_message_again_and_the_consumer_goes_on(
    transport: Transport,
) -> None:
    await transport.declare(TOPOLOGY)

    async def fail_once(delivery: Delivery) -> None:
        if len(inbox.deliveries) == 1:
            raise ArithmeticError("on purpose")
        await delivery.ack()

    inbox = Inbox(fail_once)
    async with receiving(transport, inbox):
        await transport.send(envelope())
        await inbox.holds(2)
    assert await transport.depth(ORDERS.name) == 0


async def test_retry_comes_back_after_its_delay_as_the_next_attempt_to_the_same_queue_only(
    transport: Transport,
) -> None:
    other = Queue("counting.orders", "orders")
    await transport.declare(TOPOLOGY + Topology((other,)))
    times: list[float] = []

    async def retry_twice(delivery: Delivery) -> None:
        times.append(time.monotonic())
        if delivery.attempt < 3:
            await delivery.retry(1.0, "not yet")
        else:
            await delivery.ack()

    inbox = Inbox(retry_twice)
    async with receiving(transport, inbox):
        await transport.send(envelope(b"later"))
        await inbox.holds(3)
    assert [delivery.attempt for delivery in inbox.deliveries] == [1, 2, 3]
    assert not any(delivery.redelivered for delivery in inbox.deliveries)
    assert all(delivery.envelope == envelope(b"later") for delivery in inbox.deliveries)
    assert times[1] - times[0] >= 0.95
    assert times[2] - times[1] >= 0.95
    assert await transport.depth(other.name) == 1
    assert await transport.depth(ORDERS.name) == 0


async def test_postponed_message_comes_back_after_its_delay_as_the_same_attempt(
    transport: Transport,
) -> None:
    await transport.declare(TOPOLOGY)
    times: list[float] = []

    async def settle(delivery: Delivery) -> None:
        times.append(time.monotonic())
        if (delivery.attempt, delivery.postponed) == (2, 1):
            await delivery.ack()
        elif (delivery.attempt, delivery.postponed) == (1, 1):
            await delivery.retry(0.0, "not yet")
        else:
            await delivery.postpone(1.0, "nobody is to blame")

    inbox = Inbox(settle)
    async with receiving(transport, inbox):
        await transport.send(envelope(b"later"))
        await inbox.holds(4)
    counts = [(delivery.attempt, delivery.postponed) for delivery in inbox.deliveries]
    assert counts == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert not any(delivery.redelivered for delivery in inbox.deliveries)
    assert all(delivery.envelope == envelope(b"later") for delivery in inbox.deliveries)
    assert times[1] - times[0] >= 0.95
    assert await transport.depth(ORDERS.name) == 0


async def test_prefetch_bounds_how_many_run_at_once(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    running, most = 0, 0
    gate = asyncio.Event()

    async def work(delivery: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        await delivery.ack()

    inbox = Inbox(work)
    for number in range(9):
        await transport.send(envelope(b"%d" % number))
    async with receiving(transport, inbox, prefetch=3):
        await inbox.holds(3)
        assert await transport.depth(ORDERS.name) == 6
        gate.set()
        await inbox.holds(9)
    assert most == 3


async def test_leaving_waits_for_the_running_receiver(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    finish = asyncio.Event()

    async def work(delivery: Delivery) -> None:
        await finish.wait()
        await delivery.ack()

    inbox = Inbox(work)
    await transport.send(envelope())
    async with receiving(transport, inbox, grace_s=30):
        await inbox.holds(1)
        asyncio.get_running_loop().call_later(0.2, finish.set)
    assert finish.is_set()
    await until_depth(transport, ORDERS.name, 0)
    rest = Inbox()
    async with receiving(transport, rest):
        await transport.send(envelope(b"next"))
        await rest.holds(1)
    assert rest.bodies == [b"next"]


async def test_left_receiver_takes_nothing_more(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    inbox = Inbox()
    async with receiving(transport, inbox):
        pass
    await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 1
    assert inbox.deliveries == []


async def test_what_is_unfinished_after_the_grace_is_cancelled_and_delivered_again(
    transport: Transport,
) -> None:
    await transport.declare(TOPOLOGY)
    cancelled = asyncio.Event()

    async def hang(delivery: Delivery) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stuck = Inbox(hang)
    await transport.send(envelope(b"unfinished"))
    async with receiving(transport, stuck, grace_s=0.1):
        await stuck.holds(1)
    assert cancelled.is_set()
    other = Inbox()
    async with receiving(transport, other):
        await other.holds(1)
    assert other.bodies == [b"unfinished"]


async def test_error_inside_the_context_passes_and_hands_back_what_runs(
    transport: Transport,
) -> None:
    await transport.declare(TOPOLOGY)
    stuck = Inbox(lambda _: asyncio.Event().wait())
    await transport.send(envelope())

    async def fail() -> None:
        async with receiving(transport, stuck, grace_s=60):
            await stuck.holds(1)
            raise ArithmeticError("on purpose")

    with pytest.raises(ArithmeticError):
        await fail()
    await until_depth(transport, ORDERS.name, 1)


async def test_subscription_is_active_while_it_receives(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    async with transport.receive(ORDERS.name, Inbox(), 1, 1.0) as subscription:
        assert subscription.is_active


async def test_depth_counts_what_waits(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    assert await transport.depth(ORDERS.name) == 0
    for _ in range(3):
        await transport.send(envelope())
    assert await transport.depth(ORDERS.name) == 3


async def test_status_counts_what_waits_who_takes_and_what_died(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    inbox = Inbox(lambda delivery: delivery.bury("reason", ""))
    async with receiving(transport, inbox), receiving(transport, Inbox(inbox)):
        await transport.send(envelope(b"dies"))
        await until_status(transport, QueueStatus(waiting=0, receivers=2, dead=1))
    for _ in range(3):
        await transport.send(envelope(b"waits"))
    await until_status(transport, QueueStatus(waiting=3, receivers=0, dead=1))


@pytest.mark.parametrize(
    "ask",
    [
        lambda transport: transport.depth("nowhere"),
        lambda transport: transport.status("nowhere"),
        lambda transport: transport.dead("nowhere", 1),
        lambda transport: transport.letter("nowhere", "1"),
        lambda transport: transport.replay("nowhere"),
        lambda transport: transport.purge("nowhere"),
        lambda transport: transport.purge("nowhere", ["1"]),
    ],
    ids=["depth", "status", "dead", "letter", "replay", "purge", "purge of ids"],
)
async def test_question_about_a_queue_that_is_not_there_is_refused(
    transport: Transport, ask: Callable[[Transport], Awaitable[object]]
) -> None:
    with pytest.raises(Unroutable, match="nowhere"):
        await ask(transport)


async def test_thousand_messages_at_once_all_arrive(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    inbox = Inbox()
    async with receiving(transport, inbox, prefetch=200):
        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(transport.send(envelope(b"%d" % number, name=str(number))))
        await inbox.holds(1000)
    assert sorted(map(int, inbox.bodies)) == list(range(1000))


async def test_every_part_of_an_envelope_survives(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    headers = {"ce-id": "1", "traceparent": "00-ab-cd-01", "ce-source": "käse", "rdg-bytes": "7"}
    sent = Envelope("orders", "the-id", bytes(range(256)) * 2000, headers)
    inbox = Inbox()
    async with receiving(transport, inbox):
        await transport.send(sent)
        await inbox.holds(1)
    assert inbox.deliveries[0].envelope == sent


async def test_empty_body_survives(transport: Transport) -> None:
    await transport.declare(TOPOLOGY)
    inbox = Inbox()
    async with receiving(transport, inbox):
        await transport.send(envelope(b""))
        await inbox.holds(1)
    assert inbox.bodies == [b""]


async def test_log_entry_is_seen_by_every_reader(transport: Transport) -> None:
    async with (
        transport.follow("news", "next") as left,
        transport.follow("news", "next") as right,
    ):
        sent = envelope(b"entry", key="news")
        await transport.append(sent)
        async with asyncio.timeout(30):
            assert await anext(left) == sent
            assert await anext(right) == sent


async def test_late_reader_of_the_newest_sees_it_and_what_follows(transport: Transport) -> None:
    for number in range(3):
        await transport.append(envelope(b"%d" % number, key="news"))
    async with transport.follow("news", "newest") as entries:
        seen = await taken(entries, 1)
        while seen[-1] != b"2":
            seen += await taken(entries, 1)
        await transport.append(envelope(b"3", key="news"))
        seen += await taken(entries, 1)
    assert seen == [b"0", b"1", b"2", b"3"][-len(seen) :]


async def test_reader_of_the_newest_of_an_empty_log_sees_the_first_entry(
    transport: Transport,
) -> None:
    async with transport.follow("news", "newest") as entries:
        await transport.append(envelope(b"0", key="news"))
        assert await taken(entries, 1) == [b"0"]


async def test_reader_from_the_first_sees_all_in_order(transport: Transport) -> None:
    for number in range(50):
        await transport.append(envelope(b"%d" % number, key="news"))
    async with transport.follow("news", "first") as entries:
        assert await taken(entries, 50) == [b"%d" % number for number in range(50)]


async def test_reader_of_the_next_sees_only_what_comes(transport: Transport) -> None:
    await transport.append(envelope(b"old", key="news"))
    async with transport.follow("news", "next") as entries:
        await transport.append(envelope(b"new", key="news"))
        assert await taken(entries, 1) == [b"new"]


async def test_logs_of_different_keys_are_separate(transport: Transport) -> None:
    async with transport.follow("news.a", "first") as entries:
        await transport.append(envelope(b"b", key="news.b"))
        await transport.append(envelope(b"a", key="news.a"))
        assert await taken(entries, 1) == [b"a"]


async def test_entries_appended_at_once_are_all_seen(transport: Transport) -> None:
    async with transport.follow("news", "next") as entries:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                body = b"%d" % number
                group.create_task(transport.append(envelope(body, key="news", name=str(number))))
        seen = await taken(entries, 200)
    assert sorted(map(int, seen)) == list(range(200))
