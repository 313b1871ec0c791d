"""The transport between processes of one machine: a unix socket in front of another transport, and its client.

A subscription has a connection of its own. So a slow reader holds back the server by way of the socket, and a client
that ends, however it ends, has unsubscribed: what it had not settled is delivered again, to anybody.

A connection ends only with its server, and the server's memory ends with it. So a client that finds a new server
declares its topology again and follows logs from their first entry: all that is there is new.
"""

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import uniform
from typing import Any

from pydantic import TypeAdapter

from bus.errors import BusError, BusUnavailable, DeliveryLost
from bus.frames import Garbage, Item, checked
from bus.isolation import isolated
from bus.link import Link, Peer, Take
from bus.tasks import tasks
from bus.transport import (
    DeadLetter,
    Envelope,
    QueueStatus,
    Receiver,
    Since,
    Subscription,
    Topology,
    Transport,
)

MAX_PATH_BYTES = 100  # a socket's address holds a few more, 104 on macOS
READ_AHEAD_BYTES = 1 << 18
FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0

_ENVELOPE = TypeAdapter(Envelope)
_LETTER: TypeAdapter[Envelope | None] = TypeAdapter(Envelope | None)
_LETTERS = TypeAdapter(list[DeadLetter])
_ITEM = TypeAdapter(Item)
_STATUS = TypeAdapter(QueueStatus)
log = logging.getLogger("rdg.bus")


@asynccontextmanager
async def serve(transport: Transport, path: Path) -> AsyncIterator[None]:
    """Let other processes of this user use `transport` at the socket `path`, which is removed at the end.

    Raises:
        BusUnavailable: Another process serves there, or there can be no socket.

    """
    listener, bound = await asyncio.to_thread(_bind, path)
    try:
        async with tasks() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if server.is_serving():
                    group.create_task(Peer(transport, reader, writer).attend())
                else:
                    writer.transport.abort()

            server = await asyncio.start_unix_server(
                accept, sock=listener, start_serving=False, limit=READ_AHEAD_BYTES
            )
            try:
                await server.start_serving()
                yield
            finally:
                server.close()
    finally:
        await asyncio.to_thread(bound.close)


class LocalTransport:
    """The transport that another process serves. One event loop only."""

    system = "rdg.local"

    def __init__(self, path: str, group: asyncio.TaskGroup) -> None:
        self._path = path
        self._group = group
        self._topology = Topology(())
        self._requests: Link | None = None
        self._opening = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def connect(cls, path: str) -> AsyncIterator["LocalTransport"]:
        """Open the bus that is served at `path`; raises BusUnavailable if none is."""
        async with tasks() as group:
            transport = cls(path, group)
            await transport._link()
            yield transport

    async def declare(self, topology: Topology) -> None:
        """Create what is missing, now and whenever a new server is found."""
        self._topology += topology
        await self._ask("declare", topology)

    async def send(self, envelope: Envelope) -> None:
        """Publish work; see Transport.send."""
        await self._ask("send", envelope)

    async def append(self, envelope: Envelope) -> None:
        """Publish a log entry; see Transport.append."""
        await self._ask("append", envelope)

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        """Take from a queue; see Transport.receive. Raises BusUnavailable if nobody serves at the start."""
        running: set[asyncio.Task[None]] = set()
        leaving = asyncio.Event()
        in_turn = isolated(receiver, leaving)

        def finished(delivery: _Delivery, task: asyncio.Task[None]) -> None:
            running.discard(task)
            delivery.leave()

        async def take(link: Link, item: object) -> None:
            delivery = _Delivery(link, *checked(_ITEM, item))
            if leaving.is_set():
                delivery.leave()
                return
            task = group.create_task(delivery.given_to(in_turn))
            running.add(task)
            task.add_done_callback(partial(finished, delivery))

        async with tasks() as group:
            request = ("receive", queue, prefetch, grace_s)
            subscribed = _Subscribed(await self._open(group, take, *request))
            keeping = group.create_task(self._keep(subscribed, group, take, *request))
            yield subscribed
            leaving.set()
            keeping.cancel()
            subscribed.link.tell("stop")
            if running:
                await asyncio.wait(running, timeout=grace_s)

    @asynccontextmanager
    async def follow(self, key: str, since: Since) -> AsyncIterator[AsyncIterator[Envelope]]:
        """Read a log; see Transport.follow. Raises BusUnavailable if nobody serves at the start."""
        arrived: asyncio.Queue[Envelope] = asyncio.Queue(maxsize=1)

        async def take(_: Link, item: object) -> None:
            await arrived.put(checked(_ENVELOPE, item))

        async def entries() -> AsyncIterator[Envelope]:
            while True:
                yield await arrived.get()

        async with tasks() as group:
            subscribed = _Subscribed(await self._open(group, take, "follow", key, since))
            group.create_task(self._keep(subscribed, group, take, "follow", key, "first"))
            yield entries()

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return int(await self._ask("depth", queue))

    async def status(self, queue: str) -> QueueStatus:
        """Return what is in a queue and who takes from it."""
        return _STATUS.validate_python(await self._ask("status", queue))

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[DeadLetter]:
        """Return up to `limit` dead letters of a queue."""
        return _LETTERS.validate_python(await self._ask("dead", queue, limit, ids))

    async def letter(self, queue: str, message_id: str) -> Envelope | None:
        """Return a dead letter with this message id whole; raises BusError if it is too large for a frame."""
        return _LETTER.validate_python(await self._ask("letter", queue, message_id))

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Put dead letters back into their queue."""
        return int(await self._ask("replay", queue, ids))

    async def purge(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete dead letters of a queue."""
        return int(await self._ask("purge", queue, ids))

    async def _ask(self, verb: str, *arguments: object) -> Any:
        return await (await self._link()).ask(verb, *arguments)

    async def _link(self) -> Link:
        async with self._opening:
            if self._requests is None or self._requests.lost.is_set():
                self._requests = await self._open(self._group, _nobody)
            return self._requests

    async def _open(
        self, group: asyncio.TaskGroup, take: Take, verb: str = "", *arguments: object
    ) -> Link:
        link = Link(self._path, *await _dial(self._path), take)
        with ExitStack() as unless_open:
            unless_open.callback(link.close)
            group.create_task(link.listen(), name=f"listen to {self._path}")
            await link.ask("declare", self._topology)
            if verb:
                await link.ask(verb, *arguments)
            unless_open.pop_all()
        return link

    async def _keep(
        self, subscribed: "_Subscribed", group: asyncio.TaskGroup, take: Take, *request: Any
    ) -> None:
        """Subscribe again whenever the connection is lost."""
        while True:
            await subscribed.link.lost.wait()
            log.warning("bus: lost %s; trying until it is back", self._path)
            subscribed.link = await self._reopen(group, take, *request)
            log.warning("bus: %s is back", self._path)

    async def _reopen(self, group: asyncio.TaskGroup, take: Take, *request: Any) -> Link:
        delay_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(delay_s * uniform(0.5, 1.0))  # noqa: S311  so that not all come at once
            try:
                return await self._open(group, take, *request)
            except BusError:
                delay_s = min(2 * delay_s, LONGEST_RETRY_S)


@dataclass
class _Subscribed:
    link: Link

    @property
    def is_active(self) -> bool:
        return not self.link.lost.is_set()


@dataclass
class _Delivery:
    link: Link
    token: int
    attempt: int
    postponed: int
    redelivered: bool
    envelope: Envelope
    is_settled: bool = False

    async def given_to(self, receiver: Receiver) -> None:
        """Run the receiver; whatever it raises, the subscription goes on."""
        try:
            await receiver(self)
        except Exception:
            log.exception("bus: the receiver of %s failed", self.envelope.key)

    def leave(self) -> None:
        """Give it back, unless it is settled."""
        if not self.is_settled:
            self.link.tell("leave", self.token)

    async def ack(self) -> None:
        await self._settle("ack")

    async def retry(self, delay_s: float, reason: str) -> None:
        await self._settle("retry", delay_s, reason)

    async def postpone(self, delay_s: float, reason: str) -> None:
        await self._settle("postpone", delay_s, reason)

    async def bury(self, reason: str, trace: str) -> None:
        await self._settle("bury", reason, trace)

    async def _settle(self, verb: str, *arguments: object) -> None:
        try:
            await self.link.ask(verb, self.token, *arguments)
        except BusUnavailable as error:
            raise DeliveryLost(str(error)) from error
        self.is_settled = True


async def _nobody(_: Link, item: object) -> None:
    raise Garbage("an item that was not asked for")


async def _dial(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(path, limit=READ_AHEAD_BYTES)
    except PermissionError as error:
        raise BusUnavailable(f"{path} is another user's: set RDG_BUS or RDG_HOME") from error
    except OSError as error:
        raise BusUnavailable(
            f"nothing is running at {path}: start `rdg up`, or set RDG_BUS"
        ) from error


def _bind(path: Path) -> tuple[socket.socket, ExitStack]:
    """Return a socket bound to the path, and what removes both.

    Who holds the lock is the server, so a socket file found there is a dead one's; a lock ends with its process.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise BusUnavailable(
            f"{path} is too long for a socket ({MAX_PATH_BYTES} bytes): set RDG_HOME to a shorter folder"
        )
    try:
        with ExitStack() as bound:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = open(f"{path}.lock", "wb", opener=partial(os.open, mode=0o600))  # noqa: SIM115
            fcntl.flock(bound.enter_context(lock), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_socket():
                path.unlink()
            listener = bound.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(os.fspath(path))
            bound.callback(path.unlink, missing_ok=True)
            path.chmod(0o600)
            return listener, bound.pop_all()
    except BlockingIOError as error:
        raise BusUnavailable(f"another rdg up is running at {path}") from error
    except OSError as error:
        raise BusUnavailable(
            f"no socket at {path}: {error.strerror}; set RDG_HOME to a folder of yours"
        ) from error
