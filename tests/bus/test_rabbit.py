"""What only a broker can do to us: die, lose everything, cancel, fill up."""

import asyncio
import logging

import aiormq
import pytest

from bus.errors import BusUnavailable
from bus.rabbit import RabbitTransport
from bus.rabbit_topology import step_for
from bus.transport import Delivery, Envelope, Transport
from tests.bus.inbox import (
    ORDERS,
    TOPOLOGY,
    Inbox,
    envelope,
    eventually,
    receiving,
    taken,
    until,
)
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitNode

pytestmark = pytest.mark.rabbit


@pytest.fixture
async def rabbit(rabbit: RabbitTransport) -> RabbitTransport:
    await rabbit.declare(TOPOLOGY)
    return rabbit


async def test_killed_broker_loses_nothing_confirmed_and_consumers_come_back(
    rabbit: RabbitTransport, rabbit_node: RabbitNode
) -> None:
    confirmed: set[bytes] = set()
    held = asyncio.Event()

    async def work(delivery: Delivery) -> None:
        await held.wait()
        await delivery.ack()

    inbox = Inbox(work)
    async with rabbit.receive(ORDERS.name, inbox, 10, 5) as subscription:
        for number in range(50):
            await rabbit.send(envelope(b"%d" % number))
            confirmed.add(b"%d" % number)
        await settled_on_disk(rabbit)
        rabbit_node.kill()
        await until(lambda: not subscription.is_active)
        held.set()
        await asyncio.to_thread(rabbit_node.start)
        await until(lambda: subscription.is_active)
        await until(lambda: confirmed <= set(inbox.bodies[10:]))
        await send_patiently(rabbit, envelope(b"after"))
        await until(lambda: b"after" in inbox.bodies)


async def test_follower_goes_on_without_gap_or_repeat_after_the_broker_was_killed(
    rabbit: RabbitTransport, rabbit_node: RabbitNode
) -> None:
    async with rabbit.follow("news", "next") as entries:
        for number in range(10):
            await rabbit.append(envelope(b"%d" % number, key="news"))
        seen = await taken(entries, 7)
        await settled_on_disk(rabbit)
        rabbit_node.kill()
        await asyncio.to_thread(rabbit_node.start)
        await send_patiently(rabbit, envelope(b"10", key="news"), log=True)
        seen += await taken(entries, 4)
    assert seen == [b"%d" % number for number in range(11)]


async def test_follower_that_saw_nothing_yet_misses_nothing_after_the_broker_was_killed(
    rabbit: RabbitTransport,
    rabbit_node: RabbitNode,
    amqp_url: str,
    bus_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bus.rabbit_link.ANSWER_S", 1.0)
    async with rabbit.follow("news", "next") as entries:
        await settled_on_disk(rabbit)
        rabbit_node.kill()
        await asyncio.to_thread(rabbit_node.start)
        async with RabbitTransport.connect(amqp_url, bus_prefix) as other:
            for number in range(3):
                await send_patiently(other, envelope(b"%d" % number, key="news"), log=True)
        assert await taken(entries, 3) == [b"0", b"1", b"2"]


async def test_send_while_the_broker_is_away_is_refused_and_works_again_after(
    rabbit: RabbitTransport, rabbit_node: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.rabbit_link.ANSWER_S", 0.5)
    await rabbit.send(envelope(b"before"))
    await settled_on_disk(rabbit)
    rabbit_node.kill()
    with pytest.raises(BusUnavailable, match="orders was not confirmed"):
        await rabbit.send(envelope(b"during"))
    await asyncio.to_thread(rabbit_node.start)
    await send_patiently(rabbit, envelope(b"after"))
    inbox = Inbox()
    async with receiving(rabbit, inbox):
        await until(lambda: {b"before", b"after"} <= set(inbox.bodies))


async def test_sends_in_flight_when_the_broker_dies_end_with_bus_unavailable(
    rabbit: RabbitTransport, rabbit_node: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.rabbit_link.ANSWER_S", 2.0)
    outcomes: list[BaseException | None] = []

    async def send_for_ever() -> None:
        while True:
            try:
                await rabbit.send(envelope())
                outcomes.append(None)
            except BusUnavailable as error:
                outcomes.append(error)
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(send_for_ever())
        await until(lambda: len(outcomes) >= 100)
        rabbit_node.kill()
    assert sum(outcome is not None for outcome in outcomes) == 20
    await asyncio.to_thread(rabbit_node.start)


async def test_loss_and_return_of_the_connection_are_one_line_each(
    rabbit: RabbitTransport, rabbit_node: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rdg.bus")
    rabbit_node.kill()
    await asyncio.to_thread(rabbit_node.start)
    await eventually(lambda: rabbit.depth(ORDERS.name), lambda _: True)
    lines = [record.getMessage() for record in caplog.records if record.name == "rdg.bus"]
    assert len(lines) == 2
    assert lines[0].startswith("bus: connection lost (")
    assert lines[1] == "bus: connected again"


async def test_consumer_comes_back_after_its_queue_was_deleted(
    rabbit: RabbitTransport, operator: aiormq.abc.AbstractChannel, bus_prefix: str
) -> None:
    inbox = Inbox()
    async with rabbit.receive(ORDERS.name, inbox, 10, 5) as subscription:
        await operator.queue_delete(f"{bus_prefix}.{ORDERS.name}")
        await until(lambda: not subscription.is_active)
        await until(lambda: subscription.is_active)
        await rabbit.send(envelope(b"after"))
        await inbox.holds(1)
    assert inbox.bodies == [b"after"]


async def test_consumer_comes_back_after_the_operator_closed_the_connection(
    rabbit: RabbitTransport, rabbit_node: RabbitNode
) -> None:
    inbox = Inbox()
    async with rabbit.receive(ORDERS.name, inbox, 10, 5) as subscription:
        async with asyncio.TaskGroup() as group:
            group.create_task(until(lambda: not subscription.is_active))
            await asyncio.to_thread(rabbit_node.control, "close_all_connections", "maintenance")
        await until(lambda: subscription.is_active)
        await send_patiently(rabbit, envelope(b"after"))
        await inbox.holds(1)
    assert inbox.bodies[0] == b"after"


async def test_log_that_was_deleted_is_made_again(
    rabbit: RabbitTransport, operator: aiormq.abc.AbstractChannel, bus_prefix: str
) -> None:
    await rabbit.append(envelope(b"old", key="news"))
    await operator.queue_delete(f"{bus_prefix}.log.news")
    await rabbit.append(envelope(b"new", key="news"))
    async with rabbit.follow("news", "first") as entries:
        assert await taken(entries, 1) == [b"new"]


async def test_consumer_comes_back_after_the_broker_closed_its_channel(
    rabbit: RabbitTransport,
) -> None:
    async def acknowledge_twice(delivery: Delivery) -> None:
        await delivery.ack()
        if delivery.envelope.body == b"twice":
            await delivery.ack()  # an unknown delivery tag: the broker closes the channel

    inbox = Inbox(acknowledge_twice)
    async with rabbit.receive(ORDERS.name, inbox, 1, 5) as subscription:
        await rabbit.send(envelope(b"twice"))
        await until(lambda: not subscription.is_active)
        await rabbit.send(envelope(b"after"))
        await until(lambda: b"after" in inbox.bodies)
        assert subscription.is_active


async def test_everything_is_declared_again_on_a_broker_that_came_back_without_it(
    rabbit: RabbitTransport,
    rabbit_node: RabbitNode,
    operator: aiormq.abc.AbstractChannel,
    bus_prefix: str,
) -> None:
    await rabbit.send(envelope(b"lost with its queue"))
    await settled_on_disk(rabbit)
    await operator.queue_delete(f"{bus_prefix}.{ORDERS.name}")
    await operator.exchange_delete(f"{bus_prefix}.work")
    rabbit_node.kill()
    await asyncio.to_thread(rabbit_node.start)
    await send_patiently(rabbit, envelope(b"after"))
    inbox = Inbox()
    async with receiving(rabbit, inbox):
        await inbox.holds(1)
    assert set(inbox.bodies) == {b"after"}


@pytest.mark.parametrize(("delay_s", "step_s"), [(0, 1), (1, 1), (1.5, 2), (60, 64), (3600, 64)])
def test_delay_is_rounded_up_to_a_step(delay_s: float, step_s: int) -> None:
    assert step_for(delay_s) == step_s


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
async def test_no_broker_is_one_line_that_names_the_place_and_not_the_password(scheme: str) -> None:
    port = free_port()
    with pytest.raises(BusUnavailable) as refused:
        await open_and_close(f"{scheme}://me:secret@127.0.0.1:{port}/")
    line = str(refused.value)
    assert line.startswith("RDG_BUS: ")
    assert f"127.0.0.1:{port}" in line
    assert "secret" not in line
    assert "\n" not in line


async def test_wrong_password_is_told_from_an_absent_broker(rabbit_node: RabbitNode) -> None:
    rabbit_node.start()
    with pytest.raises(BusUnavailable, match="refuses user 'guest'"):
        await open_and_close(rabbit_node.url.replace("guest:guest", "guest:wrong"))


async def test_unknown_virtual_host_is_told_from_an_absent_broker(rabbit_node: RabbitNode) -> None:
    rabbit_node.start()
    with pytest.raises(BusUnavailable, match=r"refuses virtual host ./nowhere"):
        await open_and_close(f"{rabbit_node.url}nowhere")


@pytest.mark.parametrize("url", ["amqp://host:port/", "amqp://", "amqp://host,,other/"])
async def test_malformed_url_is_one_line(url: str) -> None:
    with pytest.raises(BusUnavailable, match=r"^RDG_BUS"):
        await open_and_close(url)


async def test_namespace_that_could_not_begin_a_name_is_refused() -> None:
    with pytest.raises(BusUnavailable, match="RDG_NAMESPACE"):
        await open_and_close("amqp://127.0.0.1/", "a.b")


async def open_and_close(url: str, namespace: str = "rdg") -> None:
    async with RabbitTransport.connect(url, namespace):
        pass


async def send_patiently(transport: Transport, message: Envelope, log: bool = False) -> None:
    """What a stage does: the same message again until it is confirmed."""

    async def attempt() -> bool:
        try:
            await (transport.append(message) if log else transport.send(message))
        except BusUnavailable:
            return False
        return True

    await eventually(attempt, bool)


async def settled_on_disk(transport: RabbitTransport) -> None:
    """Wait out the second in which a broker that dies leaves a new quorum queue without a leader."""
    await transport.depth(ORDERS.name)
    await asyncio.sleep(1.5)  # nothing tells of the end: no condition to wait for
