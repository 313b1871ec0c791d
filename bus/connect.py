"""Which transport a URL means."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import unquote, urlsplit

from bus.errors import BusUnavailable
from bus.transport import Transport

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0

Open = Callable[[], AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def connect(
    url: str, namespace: str = "rdg", on_wait: Callable[[str], None] | None = None
) -> AsyncIterator[Transport]:
    """Open the transport of `url` and close it at the end. Drivers are only imported when asked for.

    Args:
        url: `amqp://…` or `amqps://…` (RabbitMQ), `unix:///path` (the bus of a running `rdg up`), or
            `memory://` (this process only).
        namespace: Prefix of every name on a broker, so that several systems may share one.
        on_wait: Given what is wrong before each further try, with growing pauses, for ever. None: fail at once.

    Raises:
        BusUnavailable: One line that says what is wrong and what to do.

    """
    open_one = _opener(url, namespace)
    async with AsyncExitStack() as stack:
        yield await _first_open(open_one, stack, on_wait)


async def _first_open(
    open_one: Open, stack: AsyncExitStack, on_wait: Callable[[str], None] | None
) -> Transport:
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await stack.enter_async_context(open_one())
        except BusUnavailable as error:
            if on_wait is None:
                raise
            on_wait(str(error))
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311  not all come at once
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


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
