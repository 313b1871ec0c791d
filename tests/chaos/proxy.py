"""A TCP proxy whose wires can be cut, silenced, half closed, refused and slowed down while they are in use.

It forwards bytes in order and changes none: all it does to them, a network does. One proxy is one link, of one process
to one server, so that a process can be cut off while its neighbours are not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bus.tasks import tasks

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16


@dataclass
class Proxy:
    """One link. What is set holds for the connections there are and for those to come.

    Attributes:
        upstream_port: Where the server listens.
        port: Where the proxy does.

    """

    upstream_port: int
    port: int = 0
    _is_refusing: bool = False
    _delay_s: float = 0.0
    _chunk_bytes: int = CHUNK_BYTES
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)
    _servers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Break all connections, both ways."""
        for writer in (*self._clients, *self._servers):
            writer.transport.abort()

    def forsake(self) -> None:
        """Break the servers' side alone: the client goes on as if it were connected. `cut` ends that."""
        self._flowing.clear()
        for writer in self._servers:
            writer.transport.abort()

    def silence(self) -> None:
        """Let no more bytes through, and break nothing."""
        self._flowing.clear()

    def refuse(self) -> None:
        """Break all connections, and take no new ones."""
        self._is_refusing = True
        self.cut()

    def slow(self, delay_s: float, chunk_bytes: int) -> None:
        """Let through at most a chunk each `delay_s`, in each direction of a connection."""
        self._delay_s, self._chunk_bytes = delay_s, chunk_bytes

    def heal(self) -> None:
        """Be a good link again. What was silenced goes on, what was forsaken is cut."""
        self._is_refusing, self._delay_s, self._chunk_bytes = False, 0.0, CHUNK_BYTES
        self._flowing.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be one connection until either side ends it."""
        self._clients.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError):
                answers, upstream = await asyncio.open_connection(HOST, self.upstream_port)
                self._servers.add(upstream)
                async with tasks() as group:
                    answering = group.create_task(self._pump(answers, writer))
                    group.create_task(self._pump(reader, upstream)).add_done_callback(
                        lambda _: answering.cancel()
                    )
                    await asyncio.wait([answering])
        finally:
            self._clients.discard(writer)
            writer.transport.abort()
            if upstream is not None:
                self._servers.discard(upstream)
                upstream.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(self._chunk_bytes):
                await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        await self._flowing.wait()  # a silent link does not tell of an end either


@asynccontextmanager
async def proxy(upstream_port: int) -> AsyncIterator[Proxy]:
    """Run a link to a server on this machine, which need not run yet."""
    link = Proxy(upstream_port)
    link.heal()
    async with tasks() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if link._is_refusing:
                writer.transport.abort()
            else:
                group.create_task(link._carry(reader, writer))

        server = await asyncio.start_server(accept, HOST, 0, limit=CHUNK_BYTES)
        link.port = server.sockets[0].getsockname()[1]
        try:
            yield link
        finally:
            server.close()
