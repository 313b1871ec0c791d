"""What holds of the transport between processes beside the contract of every transport."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from bus import frames
from bus.errors import BusError, Busy, Unroutable
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.transport import Delivery, Envelope, Receiver, Since, Subscription, Topology
from tests.bus.inbox import (
    ORDERS,
    PATIENCE_S,
    TOPOLOGY,
    Inbox,
    envelope,
    eventually,
    receiving,
    served,
    taken,
    until_dead,
    until_depth,
)
from tests.bus.local_process import local_process


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def _never(_: Delivery) -> None:
    await asyncio.Event().wait()


async def test_delivery_of_a_killed_client_goes_to_another(path: Path) -> None:
    async with served(path) as transport:
        await transport.send(envelope(b"unfinished"))
        async with local_process("take", path) as client:
            client.kill()
            inbox = Inbox()
            async with receiving(transport, inbox):
                await inbox.holds(1)
    assert inbox.bodies == [b"unfinished"]


async def test_delivery_of_a_client_that_ends_without_a_word_comes_again_at_once(
    path: Path,
) -> None:
    async def take_for_ever() -> None:
        async with (
            LocalTransport.connect(str(path)) as transport,
            receiving(transport, inbox, grace_s=0),
        ):
            await asyncio.Event().wait()

    inbox = Inbox(_never)
    async with served(path) as transport, asyncio.TaskGroup() as group:
        await transport.send(envelope())
        client = group.create_task(take_for_ever())
        await inbox.holds(1)
        assert await transport.depth(ORDERS.name) == 0
        client.cancel()
        await until_depth(transport, ORDERS.name, 1)


async def test_message_that_comes_while_a_client_finishes_waits_for_another(path: Path) -> None:
    finish = asyncio.Event()

    async def work(delivery: Delivery) -> None:
        await finish.wait()
        await delivery.ack()

    async def depths() -> list[int]:
        return [await transport.depth(ORDERS.name) for _ in range(20)]

    async def send_second_meanwhile() -> None:
        await transport.send(envelope(b"second"))
        await eventually(depths, lambda seen: seen == [1] * 20)
        finish.set()

    inbox = Inbox(work)
    async with served(path) as transport, asyncio.TaskGroup() as group:
        await transport.send(envelope(b"first"))
        async with receiving(transport, inbox, grace_s=PATIENCE_S):
            await inbox.holds(1)
            group.create_task(send_second_meanwhile())
    assert inbox.bodies == [b"first"]


async def test_message_on_its_way_to_a_client_that_finishes_is_given_back(path: Path) -> None:
    given_back = asyncio.Event()

    class Late(MemoryTransport):
        @asynccontextmanager
        async def receive(
            self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
        ) -> AsyncIterator[Subscription]:
            first = Inbox(receiver)
            async with super().receive(queue, first, prefetch, grace_s) as subscription:
                yield subscription
                await receiver(first.deliveries[0])
                given_back.set()

    async def work(delivery: Delivery) -> None:
        await given_back.wait()
        await delivery.ack()

    inbox = Inbox(work)
    async with serve(Late(), path), LocalTransport.connect(str(path)) as transport:
        await transport.declare(TOPOLOGY)
        await transport.send(envelope())
        async with receiving(transport, inbox, grace_s=PATIENCE_S):
            await inbox.holds(1)
        assert given_back.is_set()
    assert len(inbox.deliveries) == 1


async def test_slow_follower_holds_the_server_back(path: Path) -> None:
    class Endless(MemoryTransport):
        given = 0

        @asynccontextmanager
        async def follow(self, key: str, since: Since) -> AsyncIterator[AsyncIterator[Envelope]]:
            async def entries() -> AsyncIterator[Envelope]:
                while True:
                    self.given += 1
                    yield envelope(b"%d" % self.given + bytes(1 << 20), key=key)

            yield entries()

    endless = Endless()
    async with (
        serve(endless, path),
        LocalTransport.connect(str(path)) as transport,
        transport.follow("news", "next") as entries,
    ):
        for _ in range(200):
            await transport.declare(TOPOLOGY)
        assert endless.given <= 5
        seen = await taken(entries, 20)
    assert [int(body.rstrip(b"\0")) for body in seen] == list(range(1, 21))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        _framed(b"\xc1"),
        _framed(msgpack.packb("hello")),
        _framed(msgpack.packb([1, "fly", []])),
        _framed(msgpack.packb([1, "depth", [["a", "list"]]])),
        _framed(msgpack.packb([1, "send", [{"key": "orders"}]])),
    ],
    ids=["length", "msgpack", "frame", "verb", "arguments", "envelope"],
)
async def test_garbage_ends_its_connection_only_and_is_logged(
    path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(path) as transport, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(garbage)
        assert await reader.read() == b""
        writer.close()
        await transport.send(envelope())
        assert await transport.depth(ORDERS.name) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "closed a connection that sent" in caplog.text


async def test_error_inside_the_context_passes_as_it_is(path: Path) -> None:
    with pytest.raises(ArithmeticError):
        async with served(path):
            raise ArithmeticError("on purpose")


async def test_refusal_keeps_its_class(path: Path) -> None:
    async with served(path, Topology((replace(ORDERS, limit=1),))) as transport:
        await transport.send(envelope())
        with pytest.raises(Busy, match="full"):
            await transport.send(envelope())


async def test_requests_over_one_connection_are_taken_up_in_their_order(path: Path) -> None:
    inbox = Inbox()
    async with served(path) as transport:
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(transport.send(envelope(b"%d" % number)))
        async with receiving(transport, inbox):
            await inbox.holds(100)
    assert inbox.bodies == [b"%d" % number for number in range(100)]


async def test_message_too_large_for_a_frame_is_refused_by_its_sender(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
    async with served(path) as transport:
        with pytest.raises(BusError, match="at most 1000"):
            await transport.send(envelope(bytes(1000)))
        await transport.send(envelope(b"small"))
        assert await transport.depth(ORDERS.name) == 1


async def test_message_too_large_for_a_frame_is_a_dead_letter_and_a_log_goes_on_without_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
    memory, inbox = MemoryTransport(), Inbox()
    async with (
        serve(memory, path),
        LocalTransport.connect(str(path)) as transport,
        transport.follow("news", "next") as entries,
    ):
        await transport.declare(TOPOLOGY)
        for body in (bytes(1000), b"small"):
            await memory.send(envelope(body))
            await memory.append(envelope(body, key="news"))
        async with receiving(transport, inbox):
            await inbox.holds(1)
            (letter,) = await until_dead(memory, ORDERS.name, 1)
        assert await taken(entries, 1) == [b"small"]
    assert inbox.bodies == [b"small"]
    assert "at most 1000" in letter.headers["rdg-reason"]


async def test_letters_too_large_together_for_a_frame_are_listed_purged_and_replayed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(path) as transport:
        inbox = Inbox(lambda delivery: delivery.bury("broken", ""))
        async with receiving(transport, inbox):
            for name in "abcde":
                await transport.send(envelope(bytes(2000), name=name))
            await until_dead(transport, ORDERS.name, 5)
        monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 5000)
        listed = await transport.dead(ORDERS.name, 100)
        assert [(letter.id, letter.size_bytes) for letter in listed] == [(n, 2000) for n in "edcba"]
        shown = await transport.letter(ORDERS.name, "c")
        assert shown
        assert shown.body == bytes(2000)
        assert await transport.purge(ORDERS.name, ["a", "b", "c"]) == 3
        assert await transport.replay(ORDERS.name) == 2


async def test_letter_too_large_for_a_frame_is_listed_and_purged_and_not_shown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(path) as transport:
        async with receiving(transport, Inbox(lambda delivery: delivery.bury("broken", ""))):
            await transport.send(envelope(bytes(2000), name="a"))
            await until_dead(transport, ORDERS.name, 1)
        monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
        assert [letter.id for letter in await transport.dead(ORDERS.name, 100)] == ["a"]
        with pytest.raises(BusError, match="at most 1000"):
            await transport.letter(ORDERS.name, "a")
        assert await transport.purge(ORDERS.name, ["a"]) == 1


async def test_receiving_from_a_queue_that_is_not_there_is_refused(path: Path) -> None:
    async with serve(MemoryTransport(), path), LocalTransport.connect(str(path)) as transport:
        with pytest.raises(Unroutable, match=ORDERS.name):
            async with receiving(transport, Inbox()):
                pytest.fail("there is no queue")
