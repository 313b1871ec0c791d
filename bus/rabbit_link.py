"""One connection to RabbitMQ that comes back by itself, and confirmed publishing over it.

aio-pika keeps the connection; the channels are plain ones, each put back by whoever uses it: publishing when it next
publishes (here), a consumer when it finds itself gone (bus/rabbit_consumer.py).

Only connect and basic_publish are given the driver's `timeout`. In its other calls that is asyncio.wait_for, which on
Python 3.11 can swallow a cancellation; asyncio.timeout around the call cannot. What connects asks by itself whether
it is still wanted.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq import Channel
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Basic
from yarl import URL

from bus.errors import BusUnavailable, Busy, Misconfigured, Unroutable
from bus.rabbit_reconnect import CONNECT_S, Reconnecting
from schemas.tls import SYSTEM, Tls

log = logging.getLogger("rdg.bus")

LOST = CONNECTION_EXCEPTIONS
"""What the driver raises when a channel or the connection is gone, or the broker refuses."""

OTHER_LIMITS = "it was made with other limits: empty and delete it, or use another RDG_NAMESPACE"
NO_RIGHTS = "give the user of RDG_BUS the right to configure, write and read it"
TLS_IN_URL = {"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"}
"""What the driver would read from the URL if it were not given a context."""

ANSWER_S = 15.0
CLOSE_S = 3.0
Route = tuple[str, str]
"""An exchange and a routing key. To the default exchange the key is the name of a queue."""

MOST_CHANNELS = 64  # that publish; more only while more are in use

STREAM_STARTS = "Stream not found"
"""What the broker says of a stream that it has just declared and does not run yet; it ends the connection with it."""


class Starting(BusUnavailable):
    """A stream was declared a moment ago, and is not there yet."""


class Link:
    """A connection in use.

    `prepare` is awaited before anything is published over a new connection: there the broker may have
    come back without its queues.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channels: dict[Route, Channel] = {}
        self._in_use: Counter[Channel] = Counter()
        self._prepared: object = None  # the last connection on which `prepare` was done
        self._opening = asyncio.Lock()
        self.prepare: Callable[[], Awaitable[None]] = _nothing

    async def channel(self, confirms: bool = False) -> Channel:
        """Open a channel, waiting for the connection as long as it takes. Raises LOST."""
        await self._connection.ready()
        transport = self._connection.transport
        if transport is None:
            raise ConnectionError("the connection is being closed")
        channel = await transport.connection.channel(
            publisher_confirms=confirms, on_return_raises=confirms
        )
        return cast(Channel, channel)  # its only kind; the abstract one lacks what is used here

    @asynccontextmanager
    async def lasting_channel(self, queue: str = "") -> AsyncIterator[Channel]:
        """Open a channel for questions about `queue`: a refusal closes this one and no other.

        Raises:
            Unroutable: There is no such queue.
            Misconfigured: What is declared exists with other limits, or the user may not.
            BusUnavailable: No answer in time, or the broker cannot do it now.

        """
        try:
            async with asyncio.timeout(ANSWER_S):
                channel = await self.channel()
            try:
                yield channel
            finally:
                await close(channel)
        except ChannelPreconditionFailed as error:
            raise Misconfigured(f"{reason_of(error)}: {OTHER_LIMITS}") from error
        except ChannelAccessRefused as error:
            raise Misconfigured(f"{reason_of(error)}: {NO_RIGHTS}") from error
        except LOST as error:
            # The same error says that a queue is still starting, which is no reason to give it up.
            if isinstance(error, ChannelNotFoundEntity) and "no queue" in str(error):
                raise Unroutable(queue) from None
            raise BusUnavailable(f"the broker did not do it: {reason_of(error)}") from error

    @asynccontextmanager
    async def brief_channel(self, queue: str = "") -> AsyncIterator[Channel]:
        """Open a channel for a few questions, all to be answered in time; see lasting_channel."""
        async with self.lasting_channel(queue) as channel, asyncio.timeout(ANSWER_S):
            yield channel

    async def publish(
        self, exchange: str, key: str, body: bytes, properties: Basic.Properties
    ) -> None:
        """Publish and wait for the confirm; see Transport.send. Any number may wait at the same time.

        Raises as Transport.send does, and Starting.
        """
        try:
            async with self._publishing((exchange, key)) as channel:
                await channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=key,
                    properties=properties,
                    mandatory=True,
                    timeout=ANSWER_S,
                    wait=False,  # the confirm says more than an empty socket buffer
                )
        except (PublishError, ChannelNotFoundEntity) as error:
            if isinstance(error, ChannelNotFoundEntity):  # not even an exchange
                self._prepared = None
            raise Unroutable(key) from None
        except DeliveryError:
            raise Busy(f"a queue for {key} is full, or has no leader; try again later") from None
        except LOST as error:
            kind = Starting if STREAM_STARTS in str(error) else BusUnavailable
            raise kind(f"{key} was not confirmed: {reason_of(error)}") from error

    @asynccontextmanager
    async def _publishing(self, route: Route) -> AsyncIterator[Channel]:
        """Lend the channel of a route for one publish. Unless that is confirmed, the next gets another channel.

        What a channel confirms after a confirm that did not come may not be kept. And RabbitMQ 3.10 refuses all on one
        that first met its queue without a leader until the node that led it is back, whoever leads it now.
        """
        channel = await self._channel_of(route)
        self._in_use[channel] += 1
        try:
            yield channel
        except (DeliveryError, TimeoutError) as error:
            if self._channels.get(route) is channel:
                del self._channels[route]
                if isinstance(error, TimeoutError):
                    await close(channel, ConnectionError("another confirm did not come"))
            raise
        finally:
            self._in_use[channel] -= 1
            if not self._in_use[channel]:
                del self._in_use[channel]
                if self._channels.get(route) is not channel:
                    await close(channel)

    async def _channel_of(self, route: Route) -> Channel:
        """Return the channel of a route, which carries nothing else.

        A queue that does not answer keeps the broker from reading its channel. And before RabbitMQ 4.0, when a stream
        gets another leader, its channel repeats what was not confirmed, numbered by all that was published over it:
        with anything but this stream among that, the entries that follow are taken for repeats, confirmed and lost.
        """
        channel = self._channels.get(route)
        if channel is not None and not channel.is_closed:
            return channel
        async with asyncio.timeout(ANSWER_S), self._opening:
            channel = self._channels.get(route)
            if channel is None or channel.is_closed:
                await self._prepare()
                await self._make_room()
                channel = self._channels[route] = await self.channel(confirms=True)
            return channel

    async def _make_room(self) -> None:
        """Close idle channels. Which are idle may change with each close, for that takes time."""
        while len(self._channels) >= MOST_CHANNELS and (idle := self._idle()):
            await close(self._channels.pop(idle), ConnectionError("its channel made room"))

    def _idle(self) -> Route | None:
        idle = (route for route, each in self._channels.items() if each not in self._in_use)
        return next(idle, None)

    async def _prepare(self) -> None:
        connection = self._connection.transport
        if connection is None or connection is not self._prepared:
            await self.prepare()
            self._prepared = connection


@asynccontextmanager
async def connected(url: str, tls: Tls = SYSTEM) -> AsyncIterator[Link]:
    """Connect, or raise BusUnavailable with one line that says what to do; close at the end."""
    for driver in ("aio_pika", "aiormq"):  # they tell of each of the many tries
        if logging.getLogger(driver).level == logging.NOTSET:
            logging.getLogger(driver).setLevel(logging.CRITICAL)
    connection = await _connection(url, tls)
    try:
        await _first_connect(connection, tls)
        _announce(connection)
        yield Link(connection)
    finally:
        # A silent peer is waited for by driver and TLS, cancelled or not; without a socket there is nobody to wait for.
        hanging_up = asyncio.get_running_loop().call_later(CLOSE_S, connection.hang_up)
        await connection.close()
        hanging_up.cancel()


async def _first_connect(connection: Reconnecting, tls: Tls) -> None:
    try:
        async with asyncio.timeout(CONNECT_S):  # of its own it tries for ever after some errors
            await connection.connect(timeout=CONNECT_S)
    except LOST as error:
        raise BusUnavailable(_refusal(connection.nodes, error, tls)) from None


async def close(channel: Channel, error: Exception | None = None) -> None:
    """Close a channel, or give up after a moment: a broker in trouble may never answer.

    Without an error its tasks are cancelled, with one its waiting publishers get that.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await channel.close(error or asyncio.CancelledError)


def reason_of(error: BaseException) -> str:
    """Return one short line for an error of the driver."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


async def _connection(url: str, tls: Tls) -> Reconnecting:
    try:
        nodes = _nodes(url)
        context = await _context(nodes[0], tls) if nodes[0].scheme == "amqps" else None
        return Reconnecting(nodes, context)
    except ValueError:
        raise Misconfigured("RDG_BUS is not a URL like amqp://user:password@host:5672/") from None


def _nodes(url: str) -> list[URL]:
    """Return an address for each host in `amqp://user:password@host:port,host:port/vhost`."""
    split = urlsplit(url)
    user, at, hosts = split.netloc.rpartition("@")
    port = 5671 if split.scheme == "amqps" else 5672
    nodes = [URL(urlunsplit(split._replace(netloc=user + at + host))) for host in hosts.split(",")]
    if not all(node.host for node in nodes):
        raise ValueError("no host")
    return [node.with_port(node.port or port) for node in nodes]


async def _context(url: URL, tls: Tls) -> SSLContext:
    if ignored := TLS_IN_URL & url.query.keys():
        raise Misconfigured(
            f"RDG_BUS: {min(ignored)} has no effect in the URL; set RDG_TLS_CA and RDG_TLS_CERT"
        )
    try:
        return await asyncio.to_thread(tls.context)
    except ValueError as error:
        raise BusUnavailable(str(error)) from None


def _refusal(nodes: Sequence[URL], error: Exception, tls: Tls) -> str:
    url, place = nodes[0], " or ".join(f"{node.host}:{node.port}" for node in nodes)
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return f"RDG_BUS: the broker at {place} refuses user {url.user!r}; correct user or password"
    if isinstance(error, InvalidFrameError):  # it closes instead of opening
        return f"RDG_BUS: the broker at {place} refuses virtual host {url.path!r} to user {url.user!r}; correct it"
    if isinstance(error, TimeoutError):
        return (
            f"RDG_BUS: no answer from {place} within {CONNECT_S:.0f} s; does the broker run there?"
        )
    reason = reason_of(error)
    remedy = tls.remedy(reason, "RDG_BUS") if url.scheme == "amqps" else ""
    return f"RDG_BUS: no broker at {place} ({reason}); {remedy or 'start it or correct RDG_BUS'}"


def _announce(connection: Reconnecting) -> None:
    """Say once that the connection is lost, and once that it is back."""

    def lost(_: object, error: BaseException | None) -> None:
        if connection.away_since is None and not connection.close_called:
            why = "closed" if error is None else reason_of(error)
            log.warning("bus: connection lost (%s), connecting again", why)
            connection.away_since = time.monotonic()

    def back(_: object) -> None:
        connection.away_since = None
        log.info("bus: connected again")

    connection.close_callbacks.add(lost)
    connection.reconnect_callbacks.add(back)


async def _nothing() -> None:
    return None
