"""Which URL opens which bus, and waiting for one that is not there yet."""

from pathlib import Path

import pytest

from bus.connect import connect
from bus.errors import BusUnavailable
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.rabbit import RabbitTransport
from tests.bus.inbox import ORDERS, TOPOLOGY
from tests.servers.process import free_port


async def test_memory_url_is_a_bus_of_its_own() -> None:
    async with connect("memory://") as left, connect("memory://") as right:
        assert isinstance(left, MemoryTransport)
        assert left is not right


async def test_unix_url_is_the_bus_served_there(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    async with serve(MemoryTransport(), path), connect(f"unix://{path}") as transport:
        assert isinstance(transport, LocalTransport)


@pytest.mark.rabbit
async def test_amqp_url_is_a_broker(amqp_url: str, bus_prefix: str) -> None:
    async with connect(amqp_url, bus_prefix) as transport:
        assert isinstance(transport, RabbitTransport)


@pytest.mark.rabbit
async def test_url_may_name_several_nodes_some_of_which_are_away(
    amqp_url: str, bus_prefix: str
) -> None:
    away = f"127.0.0.1:{free_port()}"
    url = amqp_url.replace("@", f"@{away},").rstrip("/") + f",{away}/"
    async with connect(url, bus_prefix) as transport:
        await transport.declare(TOPOLOGY)
        assert await transport.depth(ORDERS.name) == 0


async def test_refusal_names_every_node() -> None:
    ports = free_port(), free_port()
    with pytest.raises(BusUnavailable) as refused:
        await open_and_close(f"amqp://me:secret@127.0.0.1:{ports[0]},localhost:{ports[1]}/")
    assert f"no broker at 127.0.0.1:{ports[0]} or localhost:{ports[1]} (" in str(refused.value)


@pytest.mark.parametrize("url", ["http://broker", "broker:5672", ""])
async def test_other_url_is_refused_with_the_possible_ones(url: str) -> None:
    with pytest.raises(BusUnavailable, match=r"RDG_BUS: .*use amqp://, amqps:// or unix://"):
        await open_and_close(url)


async def test_absent_bus_is_refused_at_once_unless_told_to_wait() -> None:
    with pytest.raises(BusUnavailable, match="RDG_BUS"):
        await open_and_close(f"amqp://127.0.0.1:{free_port()}/")


async def open_and_close(url: str) -> None:
    async with connect(url):
        pass
