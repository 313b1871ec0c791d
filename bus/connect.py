"""Which transport a URL means."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import unquote, urlsplit

from bus.errors import Misconfigured
from bus.transport import Transport
from schemas.tls import SYSTEM, Tls

Open = Callable[[], AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def connect(url: str, namespace: str = "rdg", tls: Tls = SYSTEM) -> AsyncIterator[Transport]:
    """Open the transport of `url` and close it at the end. Drivers are only imported when asked for.

    Args:
        url: `amqp://…` or `amqps://…` (RabbitMQ; see bus/rabbit.py), `unix:///path` (the bus of a running `rdg up`), or
            `memory://` (this process only).
        namespace: Prefix of every name on a broker, so that several systems may share one.
        tls: Files of an `amqps://` connection. With them set, an unencrypted broker is refused.

    Raises:
        BusUnavailable: One line that says what is wrong and what to do; Misconfigured if the URL is no good.

    """
    async with _opener(url, namespace, tls)() as transport:
        yield transport


def _opener(url: str, namespace: str, tls: Tls) -> Open:
    scheme = urlsplit(url).scheme
    if scheme == "amqp" and tls.is_set:
        raise Misconfigured("RDG_BUS: amqp:// is in the clear and RDG_TLS_* is set; use amqps://")
    if scheme in ("amqp", "amqps"):
        from bus.rabbit import RabbitTransport

        return partial(RabbitTransport.connect, url, namespace, tls)
    if scheme == "unix":
        from bus.local import LocalTransport

        return partial(LocalTransport.connect, unquote(urlsplit(url).path))
    if scheme == "memory":
        return _memory
    raise Misconfigured(f"RDG_BUS: {scheme or 'no'} scheme; use amqp://, amqps:// or unix://")


@asynccontextmanager
async def _memory() -> AsyncIterator[Transport]:
    from bus.memory import MemoryTransport

    yield MemoryTransport()
