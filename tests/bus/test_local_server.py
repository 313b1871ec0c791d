"""The server of the local bus: one at a path, for its user alone; while it is away its clients say so, and heal."""

import asyncio
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bus.errors import BusUnavailable, DeliveryLost
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.transport import Delivery, Envelope
from tests.bus.inbox import (
    ORDERS,
    PATIENCE_S,
    TOPOLOGY,
    Inbox,
    envelope,
    receiving,
    served,
    taken,
    until,
)
from tests.bus.local_process import local_process


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_second_server_is_refused_and_the_first_goes_on(path: Path) -> None:
    async with served(path) as transport:
        with pytest.raises(BusUnavailable, match=f"another rdg up is running at {path}"):
            async with serve(MemoryTransport(), path):
                pytest.fail("two servers at one path")
        await transport.send(envelope())
        assert await transport.depth(ORDERS.name) == 1


async def test_socket_of_a_killed_server_is_replaced_and_its_receivers_heal(path: Path) -> None:
    inbox = Inbox()
    async with (
        local_process("serve", path) as server,
        LocalTransport.connect(str(path)) as transport,
    ):
        await transport.declare(TOPOLOGY)
        async with receiving(transport, inbox):
            server.kill()
            await server.wait()
            assert "bus.sock" in _names(path.parent)
            async with served(path) as other:
                await other.send(envelope(b"after"))
                await inbox.holds(1)
    assert inbox.bodies == [b"after"]


async def test_while_the_server_is_away_receivers_are_inactive_and_sending_is_refused(
    path: Path,
) -> None:
    inbox = Inbox()
    async with AsyncExitStack() as first:
        await first.enter_async_context(serve(MemoryTransport(), path))
        async with LocalTransport.connect(str(path)) as transport:
            await transport.declare(TOPOLOGY)
            async with transport.receive(ORDERS.name, inbox, 10, 5) as subscription:
                await first.aclose()
                await until(lambda: not subscription.is_active)
                with pytest.raises(BusUnavailable, match="nothing is running"):
                    await transport.send(envelope())
                async with serve(MemoryTransport(), path):
                    await transport.send(envelope(b"after"))
                    await inbox.holds(1)
                    assert subscription.is_active
    assert inbox.bodies == [b"after"]


async def test_request_in_flight_when_the_server_ends_is_refused(path: Path) -> None:
    class Silent(MemoryTransport):
        async def send(self, envelope: Envelope) -> None:
            asked.set()
            await asyncio.Event().wait()

    async def ask() -> None:
        with pytest.raises(BusUnavailable, match="lost the bus"):
            await transport.send(envelope())

    asked = asyncio.Event()
    async with AsyncExitStack() as server:
        await server.enter_async_context(serve(Silent(), path))
        async with LocalTransport.connect(str(path)) as transport, asyncio.TaskGroup() as group:
            group.create_task(ask())
            await asked.wait()
            await server.aclose()


async def test_follower_sees_all_that_a_new_server_keeps(path: Path) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(serve(MemoryTransport(), path))
        async with (
            LocalTransport.connect(str(path)) as transport,
            transport.follow("news", "next") as entries,
        ):
            await transport.append(envelope(b"before", key="news"))
            assert await taken(entries, 1) == [b"before"]
            await first.aclose()
            memory = MemoryTransport()
            await memory.append(envelope(b"while away", key="news"))
            async with serve(memory, path):
                await memory.append(envelope(b"after", key="news"))
                assert await taken(entries, 2) == [b"while away", b"after"]


async def test_delivery_of_a_server_that_ended_is_lost(path: Path) -> None:
    async def settle_late(delivery: Delivery) -> None:
        taken.set()
        await ended.wait()
        with pytest.raises(DeliveryLost, match="lost the bus"):
            await delivery.postpone(0.0, "no room")
        done.set()

    taken, ended, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as server:
        await server.enter_async_context(serve(MemoryTransport(), path))
        async with (
            LocalTransport.connect(str(path)) as transport,
            asyncio.timeout(PATIENCE_S),
        ):
            await transport.declare(TOPOLOGY)
            async with transport.receive(ORDERS.name, settle_late, 1, 0.0):
                await transport.send(envelope())
                await taken.wait()
                await server.aclose()
                ended.set()
                await done.wait()


async def test_error_of_the_server_closes_one_connection_with_a_traceback_in_the_log(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryTransport):
        async def depth(self, queue: str) -> int:
            raise ArithmeticError("on purpose")

    async with serve(Broken(), path), LocalTransport.connect(str(path)) as transport:
        with pytest.raises(BusUnavailable, match="lost the bus"):
            await transport.depth(ORDERS.name)
        await transport.declare(TOPOLOGY)
    assert "ArithmeticError: on purpose" in caplog.text


async def test_only_its_user_may_use_the_socket_and_it_is_gone_afterwards(path: Path) -> None:
    async with serve(MemoryTransport(), path):
        assert _mode(path) == 0o600
        assert _mode(path.parent) == 0o700
    assert _names(path.parent) == ["bus.sock.lock"]


async def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(BusUnavailable, match=f"no socket at {path}"):
        async with serve(MemoryTransport(), path):
            pytest.fail("served on a text file")
    assert path.read_text() == "mine"


async def test_path_too_long_for_a_socket_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailable, match="set RDG_HOME to a shorter folder"):
        async with serve(MemoryTransport(), tmp_path / ("x" * 100)):
            pytest.fail("no socket has such a path")


async def test_connecting_to_nobody_says_what_to_start(path: Path) -> None:
    with pytest.raises(BusUnavailable, match=f"nothing is running at {path}: start `rdg up`"):
        async with LocalTransport.connect(str(path)):
            pytest.fail("nobody is there")
