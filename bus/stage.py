"""A stage is a value: what it takes, what it makes, and how. bus/desk.py is the loop that works on its messages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from bus.transport import QUEUE_LIMIT, Queue, Topology
from schemas.message import Message

In = TypeVar("In", bound=Message)
Out = TypeVar("Out", bound=Message)


@dataclass(frozen=True)
class Stage(Generic[In, Out]):
    """One step of the pipeline.

    Attributes:
        name: The stage's name; replicas of one name share its queues.
        consumes: Message types that it takes.
        produces: Message types that it makes.
        handle: Takes one message and yields outputs, whose ids are stamped for it.
        routes: For messages that are routed by a value: the values taken here, a queue for each.
        prefetch: Messages in flight per queue; None: what the process is set to. 1 for heavy work.
        deadline_s: Longest time for one message, where the process is set to a longer one.
        limit: Messages that may wait in each of its queues; more are refused (Busy).

    """

    name: str
    consumes: tuple[type[In], ...]
    produces: tuple[type[Out], ...]
    handle: Callable[[In], AsyncIterator[Out]]
    routes: tuple[str, ...] = ()
    prefetch: int | None = None
    deadline_s: float | None = None
    limit: int = QUEUE_LIMIT

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The stage's queues: one for each message type, or for each of its routes."""
        return tuple(
            Queue(f"{self.name}.{key}", key, self.limit)
            for kind in self.consumes
            for key in (
                [f"{kind.topic}.{r}" for r in self.routes] if kind.routed_by else [kind.topic]
            )
        )


AnyStage = Stage[Any, Any]
Outcome = Literal["done", "retried", "postponed", "expired", "buried"]


@dataclass(frozen=True)
class Settlement:
    """How one delivery went: for progress, cost and failure reports, and for what is measured.

    Attributes:
        stage: Name of the stage that had it.
        queue: Name of the queue that it came from.
        message: None: it could not be read.
        run: Attempt at a job that its headers name; empty if on behalf of none.
        outcome: A message ends once, as done, expired (its job is over) or buried; before that it may
            be retried, as its handler asked, or postponed: no message was to blame.
        seconds: Time that the stage had it.
        bytes_in: Of its body, wherever that was.
        bytes_out: Of all that it led to.
        reason: Why it was retried, postponed or buried.
        attempt: 1 for the first delivery, one more each time that its handler asked to have it again.
        redelivered: Whether somebody had it before and did not settle it.
        waited_s: Age of the message when it was taken, by its publisher's clock; 0 if unknown.

    """

    stage: str
    queue: str
    message: Message | None
    run: str
    outcome: Outcome
    seconds: float
    bytes_in: int
    bytes_out: int = 0
    reason: str = ""
    attempt: int = 1
    redelivered: bool = False
    waited_s: float = 0.0


async def _nothing(_: Settlement) -> None:
    return None


@dataclass(frozen=True)
class Terms:
    """On which terms a process works.

    Attributes:
        prefetch: Messages in flight per queue.
        grace_s: How long running handlers may go on after the stop.
        deadline_s: Longest time for one message.
        attempts: Of a message; one whose handler asks for another after the last is buried.
        retry_s: Delay of the first retry; it doubles each time, up to a minute.
        transient: Errors that mean "again later" however often: a server is away, and no message is to blame. They
            are no attempts. The bus's own, BusUnavailable and Busy, are always among them.
        observe: Told of every delivery before it is settled, so that what it writes is never lost.

    """

    prefetch: int = 4
    grace_s: float = 30.0
    deadline_s: float = 600.0
    attempts: int = 5
    retry_s: float = 1.0
    transient: tuple[type[Exception], ...] = ()
    observe: Callable[[Settlement], Awaitable[None]] = _nothing


def topology(stages: Iterable[AnyStage]) -> Topology:
    """Return all that these stages need on the broker."""
    return Topology(tuple(queue for stage in stages for queue in stage.queues))
