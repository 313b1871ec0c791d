"""The systems that the bus is measured against, and the bus itself: one file each, all of one shape.

A module here has `produce(run)` and `consume(run)`. Each runs in a process of its own (benchmarks/peers/__main__.py):
it connects, calls `run.ready()`, publishes or handles `run.count` messages and calls `run.done()`. Publishing is done
once every message is confirmed, where the system confirms at all; handling, once the last handler has returned.

avalanche_replay.py stands apart: a library of continual learning, a command of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchmarks.payloads import Form, Payload

IN_FLIGHT = 128
"""Unconfirmed publishes and unacknowledged deliveries at a time, where a system lets one choose."""


@dataclass(frozen=True)
class Peer:
    """One system in one setting.

    Attributes:
        name: As printed and as on the command line.
        module: Its file in this package.
        settings: What was measured, in words.
        needs: Distributions that it takes beyond the base install.
        form: What stands for arrays.
        confirms: Whether publishing waits for the broker's confirms.
        queue_type: Of the broker: quorum (replicated, what our bus uses) or classic.
        uvloop: Whether its processes run on uvloop.
        waits: Whether the driver's calls wait until the socket has taken the frame (aiormq's default).
        sealed: Whether bodies are encrypted end to end.

    """

    name: str
    module: str
    settings: str
    needs: tuple[str, ...] = ()
    form: Form = "bytes"
    confirms: bool = True
    queue_type: str = "quorum"
    uvloop: bool = False
    waits: bool = True
    sealed: bool = False


@dataclass(frozen=True)
class Run:
    """One end of one measurement, as a peer's file is given it."""

    url: str
    peer: Peer
    payload: Payload
    count: int
    ready: Callable[[], None]
    done: Callable[[], None]


class Ends(Protocol):
    """What a peer's file has."""

    def produce(self, run: Run) -> None:
        """Publish `run.count` messages."""
        ...

    def consume(self, run: Run) -> None:
        """Handle `run.count` messages."""
        ...


_RAW = "the driver as documented, opaque bytes"
_TUNED = "the driver with wait=False, opaque bytes"
_OURS = "typed messages, arrays, derived ids, duplicate check, confirmed and mandatory"
_FASTSTREAM = ("faststream", "aio-pika")
_TASKIQ = ("taskiq", "taskiq-aio-pika")

PEERS: tuple[Peer, ...] = (
    Peer("aiormq", "raw", _RAW),
    Peer("aiormq-uvloop", "raw", _RAW, ("uvloop",), uvloop=True),
    Peer("aiormq-tuned", "raw", _TUNED, ("uvloop",), uvloop=True, waits=False),
    Peer("aiormq-classic", "raw", _RAW, queue_type="classic"),
    Peer("rdg", "ours", _OURS, ("uvloop",), uvloop=True),
    Peer("rdg-asyncio", "ours", _OURS),
    Peer("rdg-sealed", "ours", f"{_OURS}; bodies sealed", ("uvloop",), uvloop=True, sealed=True),
    Peer(
        "faststream",
        "faststream",
        "as documented: pydantic model, JSON lists",
        _FASTSTREAM,
        "lists",
        queue_type="classic",
    ),
    Peer(
        "faststream-bytes",
        "faststream",
        "opaque bytes, never decoded",
        _FASTSTREAM,
        queue_type="classic",
    ),
    Peer("taskiq", "taskiq", "as documented: JSON lists", _TASKIQ, "lists"),
    Peer("taskiq-base64", "taskiq", "base64 in JSON", _TASKIQ, "base64"),
    Peer(
        "dramatiq",
        "dramatiq",
        "as documented: JSON lists, 8 threads",
        ("dramatiq", "pika"),
        "lists",
        confirms=False,
        queue_type="classic",
    ),
    Peer(
        "dramatiq-base64",
        "dramatiq",
        "base64 in JSON, 8 threads",
        ("dramatiq", "pika"),
        "base64",
        confirms=False,
        queue_type="classic",
    ),
    Peer(
        "dramatiq-confirmed",
        "dramatiq",
        "base64 in JSON, 8 threads",
        ("dramatiq", "pika"),
        "base64",
        queue_type="classic",
    ),
    Peer(
        "celery",
        "celery",
        "as documented: JSON lists; solo pool",
        ("celery",),
        "lists",
        confirms=False,
        queue_type="classic",
    ),
    Peer(
        "celery-base64",
        "celery",
        "base64 in JSON; solo pool",
        ("celery",),
        "base64",
        confirms=False,
        queue_type="classic",
    ),
    Peer(
        "celery-confirmed",
        "celery",
        "base64 in JSON; solo pool",
        ("celery",),
        "base64",
        queue_type="classic",
    ),
)
