"""The other side of the bus: what devices report, and waiting for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bus.bus import Bus
from bus.transport import Delivery, Queue, Topology, Transport
from schemas.flow import DeviceReported

WITHIN_S = 20
QUEUE = Queue("fleet.device.reported.v1", DeviceReported.topic)


@asynccontextmanager
async def reports_on(transport: Transport) -> AsyncIterator["asyncio.Queue[DeviceReported]"]:
    """Take the devices' reports, as the fleet stage does."""
    arrived: asyncio.Queue[DeviceReported] = asyncio.Queue()
    bus = Bus(transport, "fleet")

    async def take(delivery: Delivery) -> None:
        arrived.put_nowait(await bus.open(delivery.envelope, DeviceReported))
        await delivery.ack()

    await transport.declare(Topology((QUEUE,)))
    async with transport.receive(QUEUE.name, take, prefetch=1, grace_s=1):
        yield arrived


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError if it does not within WITHIN_S."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  a test may wait for anything
            await asyncio.sleep(0.01)
