"""What carries bytes: the protocol behind the bus, the same in memory, on one machine and over RabbitMQ.

Guarantees of every transport, held by one contract suite (tests/bus/test_transport.py):
- `send` returns once the message is kept and some queue takes it; otherwise it raises.
- A delivery that is not settled (process gone, receiver cancelled) is delivered again, to anybody, until its queue's
  delivery limit: then it is a dead letter, so that a message that kills its receivers does not take them all.
- `retry`, `postpone`, `bury` and `replay` first hand the message on, then acknowledge it: a crash between the two
  repeats it, never loses it.
- A full queue refuses new messages; what its receivers lost comes back to it all the same. What was retried or
  postponed does so too, on RabbitMQ only once there is room.
- A log entry goes to every reader; nothing is acknowledged.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

QUEUE_LIMIT = 100_000
DELIVERY_LIMIT = 20
DEATH = ("rdg-reason", "rdg-trace", "rdg-attempt", "rdg-queue", "rdg-died")
"""The headers that a dead letter has beside its own."""

Since = Literal["first", "newest", "next"]
"""Where a log reader starts: all that is kept; the newest entry (perhaps some before it); only what comes."""


@dataclass(frozen=True)
class Envelope:
    """A message as bytes. `headers` are CloudEvents attributes (`ce-*`) and W3C `traceparent`, all strings."""

    key: str
    id: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes of the body that it carries."""
        return len(self.body)


@dataclass(frozen=True)
class DeadLetter:
    """What is told of a dead letter without its body, of which there may be more than memory or a socket takes.

    Attributes:
        key: Routing key that it was published under.
        id: Of the message.
        headers: Its own, and those of its death: `rdg-reason`, `rdg-attempt`, `rdg-queue`, `rdg-died` (ISO 8601) and
            `rdg-trace`, which is empty unless a handler buried it.
        size_bytes: Of the body that it carries.

    """

    key: str
    id: str
    headers: Mapping[str, str]
    size_bytes: int

    @classmethod
    def of(cls, letter: Envelope) -> "DeadLetter":
        """Leave the body behind."""
        return cls(letter.key, letter.id, letter.headers, letter.size_bytes)


@dataclass(frozen=True)
class Queue:
    """A work queue: everything published under `key`, shared by all replicas of a stage.

    Attributes:
        name: Of the queue: its stage and its key.
        key: Routing key of what it takes.
        limit: Messages that may wait; more are refused (Busy).
        delivery_limit: How often a message may be lost by its receivers and still be delivered again. What was
            retried or postponed is counted from the start.

    """

    name: str
    key: str
    limit: int = QUEUE_LIMIT
    delivery_limit: int = DELIVERY_LIMIT


@dataclass(frozen=True)
class QueueStatus:
    """What is in a queue, and who takes from it.

    Attributes:
        waiting: Messages that nobody has; those that wait for a retry are elsewhere until it is due.
        receivers: Subscriptions, each of up to `prefetch` messages.
        dead: Its dead letters.

    """

    waiting: int
    receivers: int
    dead: int


@dataclass(frozen=True)
class Topology:
    """All that must exist before the first message. Declaring it again changes nothing."""

    queues: tuple[Queue, ...]

    def __add__(self, other: "Topology") -> "Topology":
        return Topology(tuple(dict.fromkeys((*self.queues, *other.queues))))


class Delivery(Protocol):
    """One message in the hands of one receiver, to be settled once."""

    @property
    def envelope(self) -> Envelope:
        """The message."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery, one more for each `retry`."""
        ...

    @property
    def postponed(self) -> int:
        """How often it was postponed in this attempt."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before and did not settle it: it may have been worked on."""
        ...

    async def ack(self) -> None:
        """Say that the work is done."""
        ...

    async def retry(self, delay_s: float, reason: str) -> None:
        """Deliver it again after about `delay_s`, to any replica, as the next attempt."""
        ...

    async def postpone(self, delay_s: float, reason: str) -> None:
        """Deliver it again after about `delay_s`, to any replica, as the same attempt: the message is not to blame."""
        ...

    async def bury(self, reason: str, trace: str) -> None:
        """Move it to the dead letters of its queue, with the reason and a traceback in its headers."""
        ...


class Subscription(Protocol):
    """A running consumer."""

    @property
    def is_active(self) -> bool:
        """Whether the broker has this consumer now; what readiness means."""
        ...


Receiver = Callable[[Delivery], Awaitable[None]]


class Transport(Protocol):
    """Carries envelopes. Errors are those of bus/errors.py, whatever the engine."""

    @property
    def system(self) -> str:
        """Name of the engine: `messaging.system` in the semantic conventions of OpenTelemetry."""
        ...

    async def declare(self, topology: Topology) -> None:
        """Create what is missing."""
        ...

    async def send(self, envelope: Envelope) -> None:
        """Publish work; return once it is kept in every queue that takes its key.

        Raises:
            Unroutable: No queue takes it.
            Busy: A queue is full.
            BusUnavailable: Not confirmed; it may or may not have been kept, so send it again with the same id.

        """
        ...

    async def append(self, envelope: Envelope) -> None:
        """Publish a log entry under its key, creating the log if it is the first. Raises as `send` does."""
        ...

    def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AbstractAsyncContextManager[Subscription]:
        """Take from a queue while the context is open, at most `prefetch` at a time.

        Leaving the context stops taking, waits up to `grace_s` for running receivers, then cancels them; leaving it
        by an error cancels them at once. What they had not settled is delivered again. A receiver should not raise:
        that is logged, and its message is delivered again. A lost connection heals by itself.
        """
        ...

    def follow(
        self, key: str, since: Since
    ) -> AbstractAsyncContextManager[AsyncIterator[Envelope]]:
        """Read the log of that key, waiting for more for ever. A lost connection heals without a gap or repeat."""
        ...

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue. Raises Unroutable if there is no such queue."""
        ...

    async def status(self, queue: str) -> QueueStatus:
        """Return what is in a queue and who takes from it. Raises Unroutable if there is no such queue."""
        ...

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[DeadLetter]:
        """Return up to `limit` (1 or more) dead letters of a queue, the last that died first, and leave them there.

        Of a queue with more than 1,000, RabbitMQ has the newest of the 1,000 that lie first. With `ids` it looks no
        further than the first `limit`.

        With `ids`, only letters with these message ids. What somebody else reads or replays at this moment may be
        missing. However many there are, no more than a body or two is in memory for it. Raises Unroutable if there is
        no such queue.
        """
        ...

    async def letter(self, queue: str, message_id: str) -> Envelope | None:
        """Return a dead letter with this message id whole, and leave it there; None if there is none.

        Its headers are those of DeadLetter. Raises Unroutable if there is no such queue.
        """
        ...

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Put dead letters back into the queue they died in, and no other; return how many.

        Id, body and headers are those of the first delivery, so that what was done already is found done. `ids` None
        means all that are there at the start; an empty sequence means none.

        Raises:
            Unroutable: There is no such queue.
            Busy: The queue is full; the rest are still dead letters.
            BusUnavailable: As for `send`; what was not confirmed is still a dead letter.

        """
        ...

    async def purge(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete dead letters of a queue for ever; return how many. `ids` as in `replay`."""
        ...


def buried(envelope: Envelope, queue: str, attempt: int, reason: str, trace: str = "") -> Envelope:
    """Return a message as the dead letter that it becomes now."""
    died = datetime.now(UTC).isoformat()
    death = dict(zip(DEATH, (reason, trace, str(attempt), queue, died), strict=True))
    return replace(envelope, headers={**envelope.headers, **death})


def revived(letter: Envelope) -> Envelope:
    """Return a dead letter as the message that it was."""
    headers = {name: value for name, value in letter.headers.items() if name not in DEATH}
    return replace(letter, headers=headers)
