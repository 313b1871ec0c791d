"""A broker in part trouble: one queue does not answer, is full or not there yet; or all of it says nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bus import rabbit as bus_rabbit
from bus import rabbit_link
from bus.bus import Bus
from bus.desk import attend
from bus.errors import BusUnavailable
from bus.rabbit import RabbitTransport
from bus.stage import Stage, Terms, topology
from bus.transport import Delivery, Queue, Topology
from schemas.flow import GeneratorFitted, RehearsalRequested
from tests.bus.inbox import ORDERS, TOPOLOGY, Inbox, envelope, fill, receiving, taken, until
from tests.chaos.proxy import proxy
from tests.servers.rabbitmq import RabbitNode

pytestmark = pytest.mark.rabbit

PARCELS = Queue("sending.parcels", "parcels")
LETTERS = Queue("sending.letters", "letters")
STUCK = 40  # more than the broker hands on at a time
GRACE_S = 1.0


async def test_queue_that_does_not_answer_fails_no_publish_to_another(
    rabbit: RabbitTransport,
    rabbit_node: RabbitNode,
    bus_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await rabbit.declare(Topology((ORDERS, PARCELS, LETTERS)))
    await rabbit.send(envelope(key="parcels"))
    async with asyncio.TaskGroup() as group:
        with suspended(rabbit_node, bus_prefix, ORDERS, PARCELS):
            slow = group.create_task(rabbit.send(envelope(key="parcels")))
            await asyncio.sleep(0)  # it is on its way
            monkeypatch.setattr(rabbit_link, "ANSWER_S", 1.0)
            with pytest.raises(BusUnavailable, match="orders was not confirmed"):
                await rabbit.send(envelope())
            assert not slow.done()
            monkeypatch.undo()
            await rabbit.send(envelope(key="letters"))
    assert await rabbit.depth(PARCELS.name) == 2
    assert await rabbit.depth(LETTERS.name) == 1


async def test_full_queue_holds_back_no_retry_of_another(rabbit: RabbitTransport) -> None:
    await rabbit.declare(Topology((replace(ORDERS, limit=STUCK), PARCELS)))
    gate = asyncio.Event()

    async def retry_all_at_once(delivery: Delivery) -> None:
        await gate.wait()
        await delivery.retry(2.0, "not yet")

    async def retry_once(delivery: Delivery) -> None:
        await (delivery.ack() if delivery.attempt > 1 else delivery.retry(2.0, "not yet"))

    held = Inbox(retry_all_at_once)
    async with receiving(rabbit, held, prefetch=STUCK):
        for _ in range(STUCK):
            await rabbit.send(envelope())
        await held.holds(STUCK)
        gate.set()
    await fill(rabbit)
    inbox = Inbox(retry_once)
    async with rabbit.receive(PARCELS.name, inbox, 10, 5):
        await rabbit.send(envelope(key="parcels"))
        await inbox.holds(2)


async def test_stream_that_is_not_there_yet_is_tried_again(
    rabbit: RabbitTransport,
    rabbit_node: RabbitNode,
    amqp_url: str,
    bus_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bus_rabbit, "STARTING_PAUSES_S", (0.5,) * 100)
    await rabbit.append(envelope(b"0", key="news"))
    stream = f"{bus_prefix}.log.news"
    await asyncio.to_thread(rename_stream, rabbit_node, stream, 'name ++ "x"')
    async with RabbitTransport.connect(amqp_url, bus_prefix) as other, asyncio.TaskGroup() as group:
        appending = group.create_task(other.append(envelope(b"1", key="news")))
        await until(lambda: "Stream not found" in caplog.text)  # which ended the connection
        assert not appending.done()
        await asyncio.to_thread(rename_stream, rabbit_node, stream, "lists:droplast(name)")
    async with rabbit.follow("news", "first") as entries:
        assert await taken(entries, 2) == [b"0", b"1"]


async def test_stop_on_a_silent_connection_ends_soon_after_the_grace_time(
    rabbit_node: RabbitNode, amqp_url: str, bus_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_rabbit, "LEAVE_S", 1.0)
    monkeypatch.setattr(rabbit_link, "CLOSE_S", 1.0)
    cancelled: list[RehearsalRequested] = []
    told = asyncio.Event()

    async def handle(message: RehearsalRequested) -> AsyncIterator[GeneratorFitted]:
        link.silence()
        told.set()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):  # more than sockets hold, so that nothing is sent any more
                    group.create_task(silent.send(envelope(bytes(4 << 20))))
        finally:
            cancelled.append(message)
        yield GeneratorFitted(job=message.job, fitted="a")

    stage = Stage("planning", (RehearsalRequested,), (GeneratorFitted,), handle)
    async with proxy(rabbit_node.port) as link:
        url = amqp_url.replace(str(rabbit_node.port), str(link.port))
        async with RabbitTransport.connect(url, bus_prefix) as silent:
            await silent.declare(topology([stage]) + TOPOLOGY)
            await silent.send(envelope())
            bus = Bus(silent, "worker")
            async with attend(bus, [stage], Terms(grace_s=GRACE_S)):
                await bus.publish(RehearsalRequested(job="job-1"))
                await told.wait()
                stopped = time.monotonic()
    assert len(cancelled) == 1
    assert time.monotonic() - stopped < GRACE_S + 10.0


@contextmanager
def suspended(node: RabbitNode, namespace: str, *queues: Queue) -> Iterator[None]:
    """Have queues that answer nothing, like those whose leader hangs."""

    def tell(verb: str) -> None:
        leaders = [f"whereis('%2F_{namespace}.{queue.name}')" for queue in queues]
        node.control("eval", "".join(f"ok = sys:{verb}({each}), " for each in leaders) + "ok.")

    tell("suspend")
    try:
        yield
    finally:
        tell("resume")


def rename_stream(node: RabbitNode, stream: str, name: str) -> None:
    """Have the broker know a stream by another name than its coordinator does, or by the right one again."""
    changed = name.replace("name", "maps:get(name, State)")
    node.control(
        "eval",
        f"""
        Rename = fun(Queue) ->
            State = amqqueue:get_type_state(Queue),
            amqqueue:set_type_state(Queue, State#{{name => {changed}}})
        end,
        Name = rabbit_misc:r(<<"/">>, queue, <<"{stream}">>),
        rabbit_misc:execute_mnesia_transaction(fun() -> rabbit_amqqueue:update(Name, Rename) end).
        """,
    )
