"""What carries bytes: the protocol behind the bus, the same in memory, on one machine and over RabbitMQ.

Guarantees of every transport, held by one contract suite (tests/bus/test_transport.py):
- `send` returns once the message is kept and some queue takes it; otherwise it raises.
- A delivery that is not settled (process gone, receiver cancelled) is delivered again, to anybody.
- `retry` and `bury` first hand the message on, then acknowledge it: a crash between the two repeats it, never loses it.
- A log entry goes to every reader; nothing is acknowledged.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

Since = Literal["first", "newest", "next"]
"""Where a log reader starts: all that is kept; the newest entry (perhaps some before it); only what comes."""


@dataclass(frozen=True)
class Envelope:
    """A message as bytes. `headers` are CloudEvents attributes (`ce-*`) and W3C `traceparent`, all strings."""

    key: str
    id: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Queue:
    """A work queue: everything published under `key`, shared by all replicas of a stage."""

    name: str
    key: str


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

    async def ack(self) -> None:
        """Say that the work is done."""
        ...

    async def retry(self, delay_s: float, reason: str) -> None:
        """Deliver it again after about `delay_s`, to any replica, as the next attempt."""
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

    async def dead(self, queue: str, limit: int) -> list[Envelope]:
        """Return up to `limit` dead letters of a queue, in no certain order, and leave them there.

        Their headers carry `rdg-reason`, `rdg-attempt`, `rdg-queue` and, from a handler, `rdg-trace`. Raises
        Unroutable if there is no such queue.
        """
        ...


def dead_headers(queue: str, attempt: int, reason: str, trace: str) -> dict[str, str]:
    """Return what a dead letter says about itself, in headers added to its own."""
    return {
        "rdg-reason": reason,
        "rdg-trace": trace,
        "rdg-attempt": str(attempt),
        "rdg-queue": queue,
    }
