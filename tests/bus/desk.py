"""A stage at work on a memory bus, and handlers for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from bus.bus import Bus
from bus.desk import attend
from bus.memory import MemoryTransport
from bus.stage import Settlement, Stage, Terms, topology
from bus.transport import Queue, Topology
from schemas.flow import GeneratorFitted, Progress, RehearsalRequested
from schemas.message import JobMessage
from tests.bus.inbox import Inbox

PLANNING = "planning.rehearsal.requested.v1"
FITTED = Queue("next.generator.fitted.v1", "generator.fitted.v1")

Handle = Callable[[RehearsalRequested], AsyncIterator[JobMessage]]


class StoreAway(Exception):
    """The store cannot be reached."""


class Desk:
    """A stage at work on a memory bus, what it observed and what came out of it."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.bus = Bus(transport, "here")
        self.observed: list[Settlement] = []
        self.outputs = Inbox()

    async def observe(self, settlement: Settlement) -> None:
        self.observed.append(settlement)

    @asynccontextmanager
    async def working(
        self, handle: Handle, of_its_own: float | None = None, **terms: object
    ) -> AsyncIterator[None]:
        stage = replace(
            Stage("planning", (RehearsalRequested,), (GeneratorFitted, Progress), handle),
            deadline_s=of_its_own,
        )
        await self.transport.declare(topology([stage]) + Topology((FITTED,)))
        settings = {"observe": self.observe, "retry_s": 0.01, "transient": (StoreAway,), **terms}
        async with (
            self.transport.receive(FITTED.name, self.outputs, 10, 1),
            attend(self.bus, [stage], Terms(**settings)),  # type: ignore[arg-type]
        ):
            yield

    async def request(self, number: int = 1, job: str = "job-1") -> None:
        await self.bus.publish(RehearsalRequested(job=job, id=UUID(int=number)))

    @property
    def outcomes(self) -> list[str]:
        return [settlement.outcome for settlement in self.observed]

    @property
    def output_ids(self) -> list[str]:
        return [delivery.envelope.id for delivery in self.outputs.deliveries]


async def fit_two(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
    yield GeneratorFitted(job=message.job, fitted="a")
    yield GeneratorFitted(job=message.job, fitted="b")


def failing(*errors: Exception) -> tuple[Handle, list[RehearsalRequested]]:
    """A handler that raises each error in turn, then works; and the calls that it got."""
    calls: list[RehearsalRequested] = []

    async def handle(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        calls.append(message)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        yield GeneratorFitted(job=message.job, fitted="a")

    return handle, calls
