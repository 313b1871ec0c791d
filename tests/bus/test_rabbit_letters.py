"""Poison, and what is in a dead-letter queue on RabbitMQ, whoever put it there."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiormq
import pytest
from pamqp.commands import Basic

from bus.errors import BusUnavailable
from bus.rabbit import RabbitTransport
from bus.transport import DELIVERY_LIMIT, QueueStatus, Topology
from tests.bus.inbox import (
    ORDERS,
    TOPOLOGY,
    Inbox,
    envelope,
    eventually,
    receiving,
    until_dead,
    until_depth,
    until_status,
)
from tests.bus.mortal_process import supervised

pytestmark = pytest.mark.rabbit


async def test_message_that_kills_its_workers_is_a_dead_letter_and_the_fleet_goes_on(
    rabbit: RabbitTransport, amqp_url: str, bus_prefix: str
) -> None:
    await rabbit.declare(Topology((replace(ORDERS, delivery_limit=2),)))
    for number in range(10):
        await rabbit.send(envelope(b"poison" if number == 3 else b"harmless", name=str(number)))
    async with supervised(2, amqp_url, bus_prefix, prefetch=1) as exit_codes:
        [letter] = await until_dead(rabbit, ORDERS.name, 1)
        await until_status(rabbit, QueueStatus(waiting=0, receivers=2, dead=1))
        assert exit_codes == [-9, -9, -9]
        await rabbit.send(envelope(b"after"))
        await until_depth(rabbit, ORDERS.name, 0)
    assert (letter.id, letter.size_bytes) == ("3", len(b"poison"))
    assert letter.headers["rdg-reason"].startswith("delivery limit")


async def test_without_a_limit_of_its_own_a_queue_has_the_default_one(
    rabbit: RabbitTransport, operator: aiormq.abc.AbstractChannel, bus_prefix: str
) -> None:
    await rabbit.declare(TOPOLOGY)
    await rabbit.send(envelope(b"poison", name="9"))
    for _ in range(DELIVERY_LIMIT + 1):
        message = await eventually(
            lambda: operator.basic_get(f"{bus_prefix}.{ORDERS.name}"),
            lambda message: message.delivery_tag is not None,
        )
        assert await rabbit.dead(ORDERS.name, 1) == []
        await operator.basic_reject(message.delivery_tag or 0, requeue=True)
    [letter] = await until_dead(rabbit, ORDERS.name, 1)
    died = datetime.fromisoformat(letter.headers["rdg-died"])
    assert (letter.key, letter.id, letter.size_bytes) == ("orders", "9", len(b"poison"))
    assert (letter.headers["rdg-attempt"], letter.headers["rdg-trace"]) == ("1", "")
    assert abs(datetime.now(UTC) - died) < timedelta(minutes=2)


async def test_letter_that_lacks_everything_is_read_and_replayed(
    rabbit: RabbitTransport, operator: aiormq.abc.AbstractChannel, bus_prefix: str
) -> None:
    await rabbit.declare(TOPOLOGY)
    nonsense = Basic.Properties(headers={"rdg-attempt": "many", "x-death": [], "number": 7})
    await operator.basic_publish(
        b"strange", routing_key=f"{bus_prefix}.{ORDERS.name}.dlq", properties=nonsense
    )
    [letter] = await until_dead(rabbit, ORDERS.name, 1)
    assert letter.headers == {
        "rdg-reason": "unknown: buried by the broker",
        "rdg-trace": "",
        "rdg-attempt": "1",
        "rdg-queue": ORDERS.name,
        "rdg-died": "",
    }
    assert await rabbit.replay(ORDERS.name) == 1
    inbox = Inbox()
    async with receiving(rabbit, inbox):
        await inbox.holds(1)
    assert inbox.bodies == [b"strange"]


async def test_message_with_all_the_headers_that_a_frame_holds_is_buried_like_any_other(
    rabbit: RabbitTransport, operator: aiormq.abc.AbstractChannel, bus_prefix: str
) -> None:
    await rabbit.declare(TOPOLOGY)
    headers: aiormq.abc.FieldTable = {f"ce-x{number}": "x" * 1000 for number in range(124)}
    await operator.basic_publish(
        b"large",
        exchange=f"{bus_prefix}.work",
        routing_key="orders",
        properties=Basic.Properties(headers={**headers, "ce-id": "7"}),
    )
    inbox = Inbox(lambda delivery: delivery.bury("broken", "é" * 8192))
    async with receiving(rabbit, inbox):
        [letter] = await until_dead(rabbit, ORDERS.name, 1)
    assert (letter.size_bytes, letter.headers["ce-id"]) == (len(b"large"), "7")
    assert len(inbox.deliveries) == 1


async def test_letters_that_somebody_else_holds_are_not_lost(
    rabbit: RabbitTransport, amqp_url: str, bus_prefix: str
) -> None:
    await rabbit.declare(TOPOLOGY)
    async with receiving(rabbit, Inbox(lambda delivery: delivery.bury("broken", ""))):
        for name in "abc":
            await rabbit.send(envelope(name=name))
        await until_dead(rabbit, ORDERS.name, 3)
    reader = await aiormq.connect(amqp_url)
    channel = await reader.channel()
    held = await eventually(
        lambda: channel.basic_get(f"{bus_prefix}.{ORDERS.name}.dlq"),
        lambda message: message.delivery_tag is not None,
    )
    assert await rabbit.replay(ORDERS.name) == 2
    await reader.close()  # it dies without a word
    [letter] = await until_dead(rabbit, ORDERS.name, 1)
    assert letter.id == held.header.properties.message_id


async def test_queue_that_exists_with_other_limits_is_refused_in_one_line_that_says_what_to_do(
    rabbit: RabbitTransport, amqp_url: str, bus_prefix: str
) -> None:
    await rabbit.declare(TOPOLOGY)
    async with RabbitTransport.connect(amqp_url, bus_prefix) as newer, asyncio.timeout(30):
        with pytest.raises(BusUnavailable, match=r"x-max-length.*empty and delete it") as refused:
            await newer.declare(Topology((replace(ORDERS, limit=5),)))
    assert "\n" not in str(refused.value)
