"""Which transport a URL means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bus.errors import BusUnavailable
from bus.transport import Transport


@asynccontextmanager
async def connect(url: str, namespace: str = "rdg") -> AsyncIterator[Transport]:
    """Open the transport of `url` and close it at the end. Drivers are only imported when asked for.

    Args:
        url: `amqp://…` or `amqps://…` (RabbitMQ), `unix:///path` (the bus of a running `rdg up`), or
            `memory://` (this process only).
        namespace: Prefix of every name on a broker, so that several systems may share one.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("amqp", "amqps"):
        from bus.rabbit import RabbitTransport

        async with RabbitTransport.connect(url, namespace) as transport:
            yield transport
    elif scheme == "unix":
        from bus.local import LocalTransport

        async with LocalTransport.connect(urlsplit(url).path) as transport:
            yield transport
    elif scheme == "memory":
        from bus.memory import MemoryTransport

        yield MemoryTransport()
    else:
        raise BusUnavailable(f"RDG_BUS: {scheme or 'no'} scheme; use amqp://, amqps:// or unix://")
