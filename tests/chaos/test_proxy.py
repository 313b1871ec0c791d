"""The proxy breaks what it is told to, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import HOST, Proxy, proxy

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def link() -> AsyncIterator[Proxy]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, proxy(server.sockets[0].getsockname()[1]) as running:
        yield running


@asynccontextmanager
async def connected(link: Proxy) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(wire: Wire, data: bytes) -> bytes:
    reader, writer = wire
    writer.write(data)
    async with asyncio.timeout(20):
        return await reader.readexactly(len(data))


async def ended(wire: Wire) -> bool:
    """Whether the wire is broken within some time."""
    async with asyncio.timeout(20):
        try:
            return await wire[0].read(1) == b""
        except ConnectionError:
            return True


async def test_bytes_pass_unchanged(link: Proxy) -> None:
    data = bytes(range(256)) * 2000
    async with connected(link) as wire:
        assert await answer(wire, data) == data


async def test_cut_breaks_what_is_there_and_not_what_comes(link: Proxy) -> None:
    async with connected(link) as wire:
        await answer(wire, b"hello")
        link.cut()
        assert await ended(wire)
    async with connected(link) as wire:
        assert await answer(wire, b"again") == b"again"


async def test_silence_holds_bytes_back_until_it_is_over(link: Proxy) -> None:
    async with connected(link) as wire:
        await answer(wire, b"hello")
        link.silence()
        wire[1].write(b"later")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await wire[0].read(1)
        link.heal()
        assert await answer(wire, b"") == b""
        assert await wire[0].readexactly(5) == b"later"


async def test_refused_connections_end_at_once_until_it_is_over(link: Proxy) -> None:
    link.refuse()
    async with connected(link) as wire:
        assert await ended(wire)
    link.heal()
    async with connected(link) as wire:
        assert await answer(wire, b"again") == b"again"


async def test_forsaken_client_hears_of_it_only_when_the_link_is_back(link: Proxy) -> None:
    async with connected(link) as wire:
        await answer(wire, b"hello")
        link.forsake()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await wire[0].read(1)
        link.heal()
        assert await ended(wire)


async def test_slow_link_takes_its_time(link: Proxy) -> None:
    async with connected(link) as wire:
        link.slow(delay_s=0.05, chunk_bytes=100)
        began = asyncio.get_running_loop().time()
        assert await answer(wire, bytes(1000)) == bytes(1000)
    assert asyncio.get_running_loop().time() - began >= 0.5
