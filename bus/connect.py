"""Which transport a URL means."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import unquote, urlsplit

from bus.errors import BusUnavailable
from bus.transport import Transport

Open = Callable[[], AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def connect(url: str, namespace: str = "rdg") -> AsyncIterator[Transport]:
    """Open the transport of `url` and close it at the end. Drivers are only imported when asked for.

    Args:
        url: `amqp://…` or `amqps://…` (RabbitMQ), `unix:///path` (the bus of a running `rdg up`), or
            `memory://` (this process only).
        namespace: Prefix of every name on a broker, so that several systems may share one.

    Raises:
        BusUnavailable: One line that says what is wrong and what to do.

    """
    async with _opener(url, namespace)() as transport:
        yield transport


def _opener(url: str, namespace: str) -> Open:
    scheme = urlsplit(url).scheme
    if scheme in ("amqp", "amqps"):
        from bus.rabbit import RabbitTransport

        return partial(RabbitTransport.connect, url, namespace)
    if scheme == "unix":
        from bus.local import LocalTransport

        return partial(LocalTransport.connect, unquote(urlsplit(url).path))
    if scheme == "memory":
        return _memory
    raise BusUnavailable(f"RDG_BUS: {scheme or 'no'} scheme; use amqp://, amqps:// or unix://")


@asynccontextmanager
async def _memory() -> AsyncIterator[Transport]:
    from bus.memory import MemoryTransport

    yield MemoryTransport()
