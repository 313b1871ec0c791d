"""The two ends of a connection between processes of one machine: a client's Link and the server's Peer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from bus.errors import BusError, BusUnavailable
from bus.frames import Garbage, arguments_of, error_of, failure, frames, pack
from bus.tasks import tasks
from bus.transport import Delivery, Since, Transport

log = logging.getLogger("rdg.bus")


@dataclass
class Link:
    """The client's end: its requests in flight, and who takes the items. `lost` is set once it has ended."""

    path: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    take: "Take"
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _answers: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    async def ask(self, verb: str, *arguments: object) -> Any:
        """Return the server's answer, or raise its error; BusUnavailable if the connection ends before."""
        if self.lost.is_set():
            raise self._unavailable()
        number = next(self._numbers)
        self.writer.write(pack(number, verb, arguments))
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            with suppress(ConnectionError):  # `listen` sees it too, and fails the answer
                await self.writer.drain()
            return await answer
        finally:
            del self._answers[number]

    def tell(self, verb: str, *arguments: object) -> None:
        """Send a request whose answer does not matter, nor whether it arrives."""
        if not self.writer.is_closing():
            self.writer.write(pack(0, verb, arguments))

    async def listen(self) -> None:
        """Hand on what the server sends, until the connection ends. While `take` waits, the server does."""
        try:
            async for number, outcome, value in frames(self.reader):
                if outcome == "item":
                    await self.take(self, value)
                elif answer := self._answers.get(number):
                    _fulfil(answer, outcome, value)
        except Garbage as garbage:
            log.warning("bus: closed the connection to %s, which sent %s", self.path, garbage)
        finally:
            self._lose()

    def close(self) -> None:
        """End the connection, and `listen` with it."""
        self.writer.transport.abort()

    def _lose(self) -> None:
        self.close()
        self.lost.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._unavailable())

    def _unavailable(self) -> BusUnavailable:
        return BusUnavailable(f"lost the bus at {self.path}: does `rdg up` still run?")


Take = Callable[[Link, object], Awaitable[None]]


@dataclass
class Peer:
    """The server's end: does what the client asks. `_held` is what the client has and has not settled."""

    transport: Transport
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _tokens: "count[int]" = field(default_factory=lambda: count(1))
    _held: dict[int, tuple[Delivery, asyncio.Event]] = field(default_factory=dict)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def attend(self) -> None:
        """Answer until the client goes. Whatever goes wrong ends this connection only."""
        try:
            async with tasks() as group:
                await self._listen(group)
        except* ConnectionError:
            log.debug("bus: a client went away before its answer")
        except* Garbage as garbage:
            log.warning("bus: closed a connection that sent %s", garbage.exceptions[0])
        except* Exception:  # what a client brings about must not end the server
            log.exception("bus: closed a connection")
        finally:
            self.writer.transport.abort()

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        async for number, verb, values in frames(self.reader):
            arguments = arguments_of(verb, values)
            if verb in ("follow", "receive"):
                group.create_task(self._stream(number, verb, arguments))
            else:
                await self._answer(number, verb, arguments)

    async def _stream(self, number: int, verb: str, arguments: tuple[Any, ...]) -> None:
        await self._answer(number, verb, arguments)
        self.writer.close()  # or the client would wait for items for ever

    async def _answer(self, number: int, verb: str, arguments: tuple[Any, ...]) -> None:
        try:
            await self._write(number, "done", await self._perform(number, verb, arguments))
        except BusError as error:
            await self._write(number, "failed", failure(error))

    def _perform(self, number: int, verb: str, arguments: tuple[Any, ...]) -> Awaitable[object]:
        if verb == "follow":
            return self._follow(number, *arguments)
        if verb == "receive":
            return self._receive(number, *arguments)
        if verb == "stop":
            return self._stop()
        if verb in ("ack", "retry", "postpone", "bury", "leave"):
            return self._settle(verb, *arguments)
        # The other VERBS are the transport's own.
        done: Awaitable[object] = getattr(self.transport, verb)(*arguments)
        return done

    async def _follow(self, number: int, key: str, since: Since) -> None:
        async with self.transport.follow(key, since) as entries:
            await self._write(number, "done", None)
            async for envelope in entries:
                try:
                    await self._write(number, "item", envelope)
                except BusError as error:
                    log.error("bus: a follower of %s misses entry %s: %s", key, envelope.id, error)

    async def _receive(self, number: int, queue: str, prefetch: int, grace_s: float) -> None:
        hand_out = partial(self._hand_out, number)
        async with self.transport.receive(queue, hand_out, prefetch, grace_s):
            await self._write(number, "done", None)
            await self._stopped.wait()

    async def _hand_out(self, number: int, delivery: Delivery) -> None:
        token, settled = next(self._tokens), asyncio.Event()
        self._held[token] = delivery, settled
        try:
            with suppress(ConnectionError):  # `_listen` sees it too, and ends
                counts = delivery.attempt, delivery.postponed
                item = (token, *counts, delivery.redelivered, delivery.envelope)
                await self._write(number, "item", item)
            await settled.wait()
        except BusError as error:
            await delivery.bury(str(error), "")
        finally:
            del self._held[token]

    async def _stop(self) -> None:
        self._stopped.set()
        await asyncio.sleep(0)  # `_receive` begins to leave before the connection may end

    async def _settle(self, verb: str, token: int, *arguments: Any) -> None:
        if token not in self._held:
            raise BusUnavailable("this delivery is no longer yours")
        delivery, settled = self._held[token]
        if verb != "leave":
            await getattr(delivery, verb)(*arguments)
        settled.set()

    async def _write(self, number: int, outcome: str, value: object) -> None:
        self.writer.write(pack(number, outcome, value))
        await self.writer.drain()


def _fulfil(answer: asyncio.Future[Any], outcome: str, value: object) -> None:
    if answer.done():
        return
    if outcome == "done":
        answer.set_result(value)
    else:
        answer.set_exception(error_of(value))
