"""How long is waited before a broker is tried again."""

import asyncio
import time
from typing import cast

import pytest
from aiormq.connection import TCPTransportFactory
from yarl import URL

from bus import rabbit_consumer, rabbit_reconnect
from bus.rabbit_consumer import Consumer
from bus.rabbit_link import Link
from bus.rabbit_reconnect import LONGEST_S, SHORTEST_S, AnyNode, Reconnecting
from tests.bus.inbox import until


@pytest.mark.parametrize(
    ("away_s", "longest_s"), [(None, SHORTEST_S), (0, SHORTEST_S), (20, 5), (1e6, LONGEST_S)]
)
async def test_pauses_grow_with_the_time_away_are_bounded_and_no_two_are_alike(
    away_s: float | None, longest_s: float
) -> None:
    connection = Reconnecting([URL("amqp://localhost/")])
    connection.away_since = None if away_s is None else time.monotonic() - away_s
    pauses = [connection.reconnect_interval for _ in range(100)]
    assert min(pauses) >= longest_s / 2
    assert max(pauses) <= longest_s * 1.1  # the time away goes on
    assert len(set(pauses)) > 50


async def test_node_that_says_nothing_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, answering = URL("amqp://silent:1/"), URL("amqp://answering:2/")
    reached = asyncio.StreamReader(), cast(asyncio.StreamWriter, object())

    async def opening(_: object, node: URL, **options: object) -> object:
        return reached if node == answering else await asyncio.Event().wait()

    monkeypatch.setattr(TCPTransportFactory, "create", opening)
    monkeypatch.setattr(rabbit_reconnect, "CONNECT_S", 0.1)
    monkeypatch.setattr("random.sample", lambda nodes, _: nodes)
    nodes = AnyNode([silent, answering])
    assert await nodes.create(silent) == reached
    with pytest.raises(TimeoutError):
        await AnyNode([silent]).create(silent)


async def test_consumer_that_fails_for_ever_goes_on_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit_consumer, "LEAST_PAUSE_S", 0.0)
    tries = 0

    class Refusing:
        async def channel(self) -> None:
            nonlocal tries
            tries += 1
            raise ConnectionError("on purpose")

    async def nothing() -> None:
        return

    async def run() -> None:
        async with consumer.running():
            pytest.fail("there is nothing to consume from")

    link = cast(Link, Refusing())
    consumer = Consumer(link, "packing.orders", 1, lambda _: nothing(), nothing)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await until(lambda: tries > 2000 or running.done())  # powers of two end at 1023 as floats
        assert not running.done()
        running.cancel()
