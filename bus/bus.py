"""The typed bus: messages in, messages out, over any transport."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar, cast
from uuid import uuid4

from bus.errors import Expired, Unreadable
from bus.seal import OPEN, Seal
from bus.tracing import processing, sending, traceparent
from bus.transport import DeadLetter, Envelope, Since, Transport
from bus.wire import decode, encode, topic_of
from schemas.message import UNSTAMPED, JobMessage, Message
from schemas.names import claims_of

M = TypeVar("M", bound=Message)

CLAIM = "ce-dataref"  # CloudEvents' name for a body that is kept elsewhere
SIZE = "rdg-bytes"  # how large that body is
IN_FLIGHT = 128  # unconfirmed publishes at a time: more gain nothing


class Parts(Protocol):
    """Where large bodies go: a store."""

    async def put_part(self, data: bytes, owner: str) -> str:
        """Keep bytes and return their digest."""
        ...

    async def get_part(self, digest: str) -> bytes:
        """Return the bytes of a digest, or raise LookupError."""
        ...


def size_of(message: Envelope | DeadLetter) -> int:
    """Return the bytes of a message's body, wherever it is."""
    claimed = message.headers.get(SIZE, "")
    return int(claimed) if claimed.isdecimal() and len(claimed) < 16 else message.size_bytes


@dataclass(frozen=True)
class Bus:
    """Publishes and follows typed messages.

    Attributes:
        transport: What carries them.
        source: Name of this process on the wire.
        parts: Where bodies over `inline_bytes` go (claim check). None, as on a device: all bodies travel whole.
        inline_bytes: Largest body that travels whole. Log entries always do: their readers may have no store.
        seal: What encrypts the bodies of sealed messages, those kept in `parts` as well.

    """

    transport: Transport
    source: str
    parts: Parts | None = None
    inline_bytes: int = 1 << 20
    seal: Seal = OPEN

    async def publish(self, message: Message, trace: str = "") -> int:
        """Publish, wait until it is kept, and return its bytes. Raises as Transport.send does.

        A message without an id gets a random one, so only repeat a publish that had one. It goes on in the trace of
        what runs now or, given a traceparent, in that.
        """
        if message.id == UNSTAMPED:
            message = message.model_copy(update={"id": uuid4()})
        with sending(message, self.transport.system, trace):
            envelope = encode(message, self.source, traceparent())
            if message.sealed:
                envelope = self.seal.close(envelope)
            size = len(envelope.body)
            if message.delivery == "log":
                await self.transport.append(envelope)
            else:
                await self.transport.send(await self._claim(envelope, message))
        return size

    async def publish_all(self, messages: Iterable[Message]) -> int:
        """Publish many, their confirms in flight together; return the sum of their bytes.

        When one fails, those in flight are left unconfirmed, the rest unsent, and its error is raised.
        """
        remaining = iter(messages)
        first = list(islice(remaining, IN_FLIGHT))
        if len(first) <= 1:  # most stages: no tasks for that
            return sum([await self.publish(message) for message in first])

        async def lane(message: Message) -> int:
            size = await self.publish(message)
            for following in remaining:
                size += await self.publish(following)
            return size

        try:
            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(lane(message)) for message in first]
        except* Exception as failures:  # noqa: BLE001  re-raised: the caller knows single errors only
            raise _first(failures) from None
        return sum(task.result() for task in lanes)

    async def open(self, envelope: Envelope, *kinds: type[M]) -> M:
        """Return the message in an envelope, fetching its body if it was left in the store.

        Raises:
            Unreadable: It is none of `kinds`, or cannot be read.
            Expired: Its body was left in the store and dropped with its job.
        Other errors of the store pass through.

        """
        topic, by_topic = topic_of(envelope.headers), {kind.topic: kind for kind in kinds}
        is_sealed = topic in by_topic and by_topic[topic].sealed
        message = decode(await self.body_of(envelope, is_sealed), topic, by_topic)
        if message.id == UNSTAMPED:
            raise Unreadable("id: a message without one cannot be told from its repeats")
        return cast(M, message)

    async def body_of(self, envelope: Envelope, is_sealed: bool = False) -> bytes:
        """Return a body in the clear, from wherever it is kept; `is_sealed`: it must have been sealed.

        Raises as `open` does.
        """
        body = envelope.body
        if digest := envelope.headers.get(CLAIM):
            body = await self._claimed(digest)
        return self.seal.open(envelope, body, is_sealed)

    @asynccontextmanager
    async def follow(
        self, kind: type[M], route: str = "", since: Since = "next", stage: str = ""
    ) -> AsyncIterator[AsyncIterator[M]]:
        """Follow a log topic (with `route`, its part for that value). Entries that cannot be read are passed over.

        With `stage`, the body of the loop over the messages works on each as that stage, in its trace.
        """
        key = f"{kind.topic}.{route}" if route else kind.topic

        def working(envelope: Envelope) -> AbstractContextManager[None]:
            system = self.transport.system
            return processing(stage, key, system, envelope) if stage else nullcontext()

        async def messages(envelopes: AsyncIterator[Envelope]) -> AsyncGenerator[M, None]:
            async for envelope in envelopes:
                try:
                    message = await self.open(envelope, kind)
                except Unreadable:
                    continue
                with working(envelope):
                    yield message

        async with (
            self.transport.follow(key, since) as envelopes,
            aclosing(messages(envelopes)) as stream,
        ):
            yield stream

    async def _claimed(self, digest: str) -> bytes:
        if self.parts is None:
            raise Unreadable("the body is kept in a store and this process has none")
        try:
            return await self.parts.get_part(digest)
        except LookupError as error:
            raise Expired(f"part {digest} is gone with its job") from error

    async def _claim(self, envelope: Envelope, message: Message) -> Envelope:
        if self.parts is None or len(envelope.body) <= self.inline_bytes:
            return envelope
        owner = claims_of(message.run if isinstance(message, JobMessage) else "")
        digest = await self.parts.put_part(envelope.body, owner)
        headers = {**envelope.headers, CLAIM: digest, SIZE: str(len(envelope.body))}
        return replace(envelope, body=b"", headers=headers)


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
