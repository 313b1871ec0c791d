"""Bytes on the wire, counted by TCP proxies in front of servers, alike for every protocol.

Both directions count, without TCP's own headers. A proxy costs time, so no run is timed behind one. What still
uses a proxy when the meter closes is cut off.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bus.tasks import tasks

HOST = "127.0.0.1"
PIECE = 1 << 16


@dataclass
class ByteMeter:
    """The count of any number of proxies, by the name that each server was given."""

    proxies: AsyncExitStack
    connections: asyncio.TaskGroup
    by_server: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes so far."""
        return sum(self.by_server.values())

    async def before(self, server: str, port: int) -> int:
        """Start a proxy in front of a server on this machine, and return the port to use instead."""
        self.by_server.setdefault(server, 0)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections.create_task(self._join(server, port, reader, writer))

        proxy = await asyncio.start_server(accept, HOST, 0)
        await self.proxies.enter_async_context(proxy)
        return int(proxy.sockets[0].getsockname()[1])

    async def _join(
        self, server: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(HOST, port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(server, reader, back))
            both.create_task(self._pass_on(server, there, writer))

    async def _pass_on(
        self, server: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while piece := await reader.read(PIECE):
                self.by_server[server] += len(piece)
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            return  # the other end broke off: an end like any other
        finally:
            writer.close()


@asynccontextmanager
async def byte_meter() -> AsyncIterator[ByteMeter]:
    """Count while the context is open."""
    async with tasks() as connections, AsyncExitStack() as proxies:
        yield ByteMeter(proxies, connections)
