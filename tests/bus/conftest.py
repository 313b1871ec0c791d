"""One of each transport, empty, under the same contract, and a stage at work on one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiormq
import pytest

from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.rabbit import RabbitTransport
from bus.transport import Transport
from tests.bus.desk import PLANNING, Desk
from tests.bus.inbox import Watched

Open = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def _memory(_: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    yield MemoryTransport()


@asynccontextmanager
async def _local(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    path = request.getfixturevalue("tmp_path") / "bus.sock"
    async with serve(MemoryTransport(), path), LocalTransport.connect(str(path)) as transport:
        yield transport


@asynccontextmanager
async def _rabbit(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    url, namespace = request.getfixturevalue("amqp_url"), request.getfixturevalue("bus_prefix")
    async with RabbitTransport.connect(url, namespace) as transport:
        yield transport


OPEN: dict[str, Open] = {"memory": _memory, "local": _local, "rabbit": _rabbit}


@pytest.fixture(
    params=[
        "memory",
        "local",
        pytest.param("rabbit", marks=pytest.mark.rabbit),
    ]
)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """An open transport that nothing was declared on."""
    async with OPEN[request.param](request) as opened:
        yield opened


@pytest.fixture
async def rabbit(amqp_url: str, bus_prefix: str) -> AsyncIterator[RabbitTransport]:
    """A transport over the real broker, on which nothing was declared."""
    async with RabbitTransport.connect(amqp_url, bus_prefix) as transport:
        yield transport


@pytest.fixture
async def operator(amqp_url: str) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    """A channel of somebody else, who may break things."""
    connection = await aiormq.connect(amqp_url)
    yield await connection.channel()
    await connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a local bus may be served."""
    return tmp_path / "home" / "bus.sock"


@pytest.fixture
def watched() -> Watched:
    """A transport that notes how the messages of `desk`'s stage are settled."""
    return Watched(PLANNING)


@pytest.fixture
def desk() -> Desk:
    """A stage on a bus of its own."""
    return Desk(MemoryTransport())
