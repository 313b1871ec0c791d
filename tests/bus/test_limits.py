"""Limits, on every transport: how often a message may lose its receivers, and how many may wait."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bus import isolation, rabbit
from bus.bus import Bus
from bus.desk import attend
from bus.errors import BusUnavailable, Busy
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.stage import Stage, Terms
from bus.transport import Delivery, Envelope, Queue, Topology, Transport
from schemas.flow import GeneratorFitted, RehearsalRequested
from tests.bus.conftest import OPEN
from tests.bus.inbox import ORDERS, Inbox, envelope, fill, receiving, until, until_dead, until_depth
from tests.bus.local_process import local_process

LIMITED = Topology((replace(ORDERS, limit=5, delivery_limit=3),))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit, "HAND_BACK_S", 0.05)
    monkeypatch.setattr(isolation, "PAUSE_S", 0.05)


async def lose_poison(delivery: Delivery) -> None:
    if delivery.envelope.body == b"poison":
        raise ArithmeticError("on purpose")
    await delivery.ack()


async def test_message_that_keeps_losing_its_receivers_is_a_dead_letter_and_the_others_are_done(
    transport: Transport,
) -> None:
    await transport.declare(LIMITED)
    inbox = Inbox(lose_poison)
    async with receiving(transport, inbox):
        for name, body in enumerate((b"a", b"poison", b"b", b"c")):
            await transport.send(envelope(body, name=str(name)))
        [letter] = await until_dead(transport, ORDERS.name, 1)
        await until(lambda: {b"a", b"b", b"c"} <= set(inbox.bodies))
    poison = [each for each in inbox.deliveries if each.envelope.body == b"poison"]
    assert [each.redelivered for each in poison] == [False, True, True, True]
    assert (letter.key, letter.id, letter.size_bytes) == ("orders", "1", len(b"poison"))
    assert letter.headers["rdg-reason"].startswith("delivery limit")
    assert letter.headers["rdg-attempt"] == "1"
    assert letter.headers["rdg-queue"] == ORDERS.name
    assert letter.headers["rdg-died"]
    assert await transport.depth(ORDERS.name) == 0


async def test_message_buried_by_the_limit_can_be_replayed_and_is_counted_from_the_start(
    transport: Transport,
) -> None:
    await transport.declare(LIMITED)
    async with receiving(transport, Inbox(lose_poison)):
        await transport.send(envelope(b"poison"))
        await until_dead(transport, ORDERS.name, 1)
    assert await transport.replay(ORDERS.name) == 1

    async def recover(delivery: Delivery) -> None:
        if len(inbox.deliveries) == 3:
            await delivery.ack()

    inbox = Inbox(recover)
    async with receiving(transport, inbox):
        await inbox.holds(3)
    assert inbox.deliveries[0].envelope == envelope(b"poison")
    assert await transport.dead(ORDERS.name, 10) == []


async def test_attempts_do_not_count_towards_the_delivery_limit(transport: Transport) -> None:
    await transport.declare(Topology((replace(ORDERS, delivery_limit=1),)))

    async def retry(delivery: Delivery) -> None:
        if delivery.attempt < 4:
            await delivery.retry(0.01, "not yet")
        else:
            await delivery.ack()

    inbox = Inbox(retry)
    async with receiving(transport, inbox):
        await transport.send(envelope())
        await inbox.holds(4)
    assert await transport.dead(ORDERS.name, 10) == []


async def test_message_whose_outputs_are_not_confirmed_for_a_while_is_not_buried_for_it(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refusals = transport.send, iter(range(3))

    async def refuse_at_first(message: Envelope) -> None:
        if message.key == GeneratorFitted.topic and next(refusals, None) is not None:
            raise BusUnavailable("the queue has no leader")
        await send(message)

    async def handle(message: RehearsalRequested) -> AsyncIterator[GeneratorFitted]:
        yield GeneratorFitted(job=message.job, fitted="a")

    stage = Stage("planning", (RehearsalRequested,), (GeneratorFitted,), handle)
    (queue,) = stage.queues
    following = Queue("next.fitted", GeneratorFitted.topic)
    await transport.declare(Topology((replace(queue, delivery_limit=1), following)))
    monkeypatch.setattr(transport, "send", refuse_at_first)
    bus = Bus(transport, "here")
    await bus.publish(RehearsalRequested(job="job-1"))
    async with attend(bus, [stage], Terms(retry_s=0.01)):
        await until_depth(transport, following.name, 1)
    assert await transport.dead(queue.name, 10) == []


@pytest.mark.parametrize("kind", ["local", pytest.param("rabbit", marks=pytest.mark.rabbit)])
async def test_redelivered_message_that_gets_no_turn_in_time_goes_back_and_that_does_not_count(
    request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "TURN_S", 0.2)
    done = asyncio.Event()
    slow: list[Delivery] = []

    async def lose_then_hang_once(delivery: Delivery) -> None:
        if len(inbox.deliveries) <= 2:
            return
        if not slow:
            slow.append(delivery)
            await done.wait()
        await delivery.ack()

    inbox = Inbox(lose_then_hang_once)
    async with OPEN[kind](request) as transport:
        await transport.declare(Topology((replace(ORDERS, delivery_limit=1),)))
        async with receiving(transport, inbox):
            for name in "12":
                await transport.send(envelope(name=name))
            await inbox.holds(4)
            done.set()
        assert await transport.dead(ORDERS.name, 10) == []
        await until_depth(transport, ORDERS.name, 0)
    last = inbox.deliveries[-1]
    assert (last.attempt, last.postponed, last.redelivered) == (1, 1, False)
    assert [last] != slow


async def test_full_queue_is_busy_until_somebody_takes_from_it(transport: Transport) -> None:
    await transport.declare(LIMITED)
    sent = await fill(transport)
    assert 5 <= sent <= 10  # a broker takes a few more before it refuses
    inbox = Inbox()
    async with receiving(transport, inbox):
        await inbox.holds(sent)
        await until_depth(transport, ORDERS.name, 0)
    assert sorted(map(int, inbox.bodies)) == list(range(sent))
    await transport.send(envelope())


@pytest.mark.parametrize("kind", ["memory", "local"])
async def test_retry_comes_back_to_a_queue_that_has_become_full_meanwhile(
    request: pytest.FixtureRequest, kind: str
) -> None:
    first = Inbox(lambda delivery: delivery.retry(0.2, "not yet"))
    async with OPEN[kind](request) as transport:
        await transport.declare(LIMITED)
        await transport.send(envelope(b"first"))
        async with receiving(transport, first, prefetch=1):
            await first.holds(1)
        sent = await fill(transport)
        await until_depth(transport, ORDERS.name, sent + 1)
        with pytest.raises(Busy):
            await transport.send(envelope())
        inbox = Inbox()
        async with receiving(transport, inbox):
            await inbox.holds(sent + 1)
    assert inbox.deliveries[inbox.bodies.index(b"first")].attempt == 2


@pytest.mark.parametrize("kind", ["memory", "local"])
async def test_being_handed_back_in_good_order_does_not_count_towards_the_delivery_limit(
    request: pytest.FixtureRequest, kind: str
) -> None:
    hung = Inbox(lambda _: asyncio.Event().wait())
    async with OPEN[kind](request) as transport:
        await transport.declare(Topology((replace(ORDERS, delivery_limit=1),)))
        await transport.send(envelope())
        for times in range(1, 5):
            async with receiving(transport, hung, grace_s=0):
                await hung.holds(times)
            await until_depth(transport, ORDERS.name, 1)
        assert await transport.dead(ORDERS.name, 10) == []
    assert [delivery.redelivered for delivery in hung.deliveries] == [False, True, True, True]


async def test_message_that_its_clients_die_with_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    async with serve(MemoryTransport(), path), LocalTransport.connect(str(path)) as transport:
        await transport.declare(Topology((replace(ORDERS, delivery_limit=1),)))
        await transport.send(envelope(b"poison"))
        for _ in range(2):
            async with local_process("take", path) as client:
                client.kill()
                await client.wait()
        [letter] = await until_dead(transport, ORDERS.name, 1)
    assert letter.size_bytes == len(b"poison")
    assert letter.headers["rdg-reason"] == "delivery limit: its receivers were lost 2 times"
