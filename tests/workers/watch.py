"""A watchdog over a bus that counts what it is asked, at a time that the test tells."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bus.errors import Busy
from bus.memory import MemoryTransport
from bus.transport import DeadLetter, Envelope, QueueStatus
from workers.pipeline import PIPELINE, described
from workers.watchdog import QUIET_S, Watchdog

STALL_S, DEADLINE_S = 100.0, 50.0
PLANNING = "planning.rehearsal.requested.v1"
TRAINING = "training.training.requested.v1"
STAGES = tuple(described(PIPELINE, ["gmm", "gan"]))


class Counting(MemoryTransport):
    """Counts how often dead letters are read and queues looked into, and refuses the messages of one key."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.looked_into = Counter[str]()
        self.full = ""

    async def status(self, queue: str) -> QueueStatus:
        self.looked_into[queue] += 1
        return await super().status(queue)

    async def send(self, envelope: Envelope) -> None:
        if envelope.key == self.full:
            raise Busy(f"{self.full} is full")
        await super().send(envelope)

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[DeadLetter]:
        self.readings += 1
        return await super().dead(queue, limit, ids)


@dataclass
class Watch:
    """A watchdog whose time goes by when it is told to."""

    dog: Watchdog
    transport: Counting
    now: float = 1000.0

    async def after(self, *seconds: float) -> None:
        """Sweep after each of these times."""
        for each in seconds:
            self.now += each
            await self.dog.sweep()

    async def stall(self) -> None:
        """See the job, hear nothing, and look once more after the stall time."""
        await self.after(1, QUIET_S, STALL_S)

    async def depth(self, queue: str = TRAINING) -> int:
        return await self.transport.depth(queue)

    async def take(self, queue: str = TRAINING) -> None:
        """Take what waits in a queue, and lose it."""
        taken = asyncio.Event()

        async def lose(delivery: Any) -> None:
            await delivery.ack()
            taken.set()

        async with self.transport.receive(queue, lose, prefetch=1, grace_s=1):
            await taken.wait()


def letter(run: str, key: str = "training.requested.v1") -> Envelope:
    headers = {"ce-id": "1", "ce-type": f"io.rdg.{key}", "ce-subject": run}
    return Envelope(key, "1", b"x", headers)
