"""One connection to RabbitMQ that comes back by itself, and confirmed publishing over it.

aio-pika keeps the connection; the channels are plain ones, each put back by whoever uses it: publishing when it next
publishes (here), a consumer when it finds itself gone (bus/rabbit_consumer.py).

Only basic_publish is given the driver's `timeout`. In its other calls that is asyncio.wait_for, which on Python 3.11
can swallow a cancellation; asyncio.timeout around the call cannot.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import cast

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
from pamqp.commands import Basic
from yarl import URL

from bus.errors import BusUnavailable, Busy, Unroutable
from bus.rabbit_reconnect import Reconnecting
from schemas.tls import SYSTEM, Tls

log = logging.getLogger("rdg.bus")

LOST = CONNECTION_EXCEPTIONS
"""What the driver raises when a channel or the connection is gone, or the broker refuses."""

OTHER_LIMITS = "it was made with other limits: empty and delete it, or use another RDG_NAMESPACE"
TLS_IN_URL = {"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"}
"""What the driver would read from the URL if it were not given a context."""

CONNECT_S = 10.0
ANSWER_S = 15.0
CLOSE_S = 3.0


class Link:
    """A connection in use.

    `prepare` is awaited before anything is published over a new channel: there the broker may have
    come back without its queues.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channel: Channel | None = None
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
            BusUnavailable: No answer in time, or the broker refuses.

        """
        try:
            async with asyncio.timeout(ANSWER_S):
                channel = await self.channel()
            try:
                yield channel
            finally:
                await close(channel)
        except ChannelPreconditionFailed as error:
            raise BusUnavailable(f"{reason_of(error)}: {OTHER_LIMITS}") from error
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
        """Publish and wait for the confirm; see Transport.send. Any number may wait at the same time."""
        channel = self._channel
        try:
            if channel is None or channel.is_closed:
                channel = await self._publishing()
            await channel.basic_publish(
                body,
                exchange=exchange,
                routing_key=key,
                properties=properties,
                mandatory=True,
                timeout=ANSWER_S,
                wait=False,  # the confirm says more than an empty socket buffer
            )
        except (PublishError, ChannelNotFoundEntity):  # no queue; not even an exchange
            raise Unroutable(key) from None
        except DeliveryError:
            raise Busy(f"a queue for {key} is full; try again later") from None
        except LOST as error:
            if channel is not None and isinstance(error, TimeoutError):
                await self._abandon(channel)
            raise BusUnavailable(f"{key} was not confirmed: {reason_of(error)}") from error

    async def _abandon(self, channel: Channel) -> None:
        """Publish no more over a channel that owes a confirm: what it confirms later may not be kept."""
        if self._channel is channel:
            self._channel = None
            await close(channel, ConnectionError("another confirm did not come"))

    async def _publishing(self) -> Channel:
        async with asyncio.timeout(ANSWER_S), self._opening:
            if self._channel is None or self._channel.is_closed:
                await self.prepare()
                self._channel = await self.channel(confirms=True)
            return self._channel


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
        await connection.close()


async def _first_connect(connection: Reconnecting, tls: Tls) -> None:
    try:
        async with asyncio.timeout(CONNECT_S):  # of its own it tries for ever after some errors
            await connection.connect()
    except LOST as error:
        raise BusUnavailable(_refusal(connection.url, error, tls)) from None


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
        address = URL(url)
        if not address.host:
            raise ValueError("no host")
        context = await _context(address, tls) if address.scheme == "amqps" else None
        return Reconnecting(address, ssl_context=context)
    except ValueError:
        raise BusUnavailable("RDG_BUS is not a URL like amqp://user:password@host:5672/") from None


async def _context(url: URL, tls: Tls) -> SSLContext:
    if ignored := TLS_IN_URL & url.query.keys():
        raise BusUnavailable(
            f"RDG_BUS: {min(ignored)} has no effect in the URL; set RDG_TLS_CA and RDG_TLS_CERT"
        )
    try:
        return await asyncio.to_thread(tls.context)
    except ValueError as error:
        raise BusUnavailable(str(error)) from None


def _refusal(url: URL, error: Exception, tls: Tls) -> str:
    place = f"{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"
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
