"""A home folder whose bus is served by a thread, as `rdg up` would, and the `rdg` command run against it."""

import asyncio
import shlex
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bus.bus import Bus
from bus.local import serve
from bus.memory import MemoryTransport
from bus.transport import Delivery, Envelope, Topology
from bus.wire import encode
from control.cli import run
from schemas.documents import Job, JobState
from schemas.flow import Progress, RehearsalRequested
from schemas.message import Message
from store.base import Store
from store.connect import open_store
from store.jobs import advance, finish
from tests.control.world import REQUESTS

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Home:
    """See the module."""

    path: Path
    capsys: pytest.CaptureFixture[str]
    transport: MemoryTransport = field(default_factory=MemoryTransport)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def rdg(self, line: str) -> Outcome:
        """Run a command line without its first word."""
        self.capsys.readouterr()
        code = run(shlex.split(line))
        return Outcome(code, *self.capsys.readouterr())

    def with_store(self, use: Callable[[Store], Awaitable[T]]) -> T:
        """Use the store that the command uses."""

        async def opened() -> T:
            async with open_store(f"sqlite://{self.path}/store.db") as store:
                return await use(store)

        return asyncio.run(opened())

    def on_bus(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something where the bus is."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def declare(self, topology: Topology) -> None:
        """Declare queues, as workers do."""
        self.on_bus(self.transport.declare(topology))

    def depth(self, queue: str) -> int:
        """Return how many messages wait."""
        return self.on_bus(self.transport.depth(queue))

    def publish(self, step: Progress) -> None:
        """Tell a job's progress."""
        self.on_bus(Bus(self.transport, "test").publish(step))

    def bury(self, message: Message, queue: str, reason: str = "ValueError: no") -> None:
        """Make a message a dead letter of a queue, as its stage does when the handler raises."""
        self.on_bus(self._bury(encode(message, "test"), queue, reason))

    async def _bury(self, envelope: Envelope, queue: str, reason: str) -> None:
        async def receive(delivery: Delivery) -> None:
            await delivery.bury(reason, f"Traceback of {delivery.envelope.id}\n  line 2")
            buried.set()

        buried = asyncio.Event()
        await self.transport.send(envelope)
        async with self.transport.receive(queue, receive, prefetch=1, grace_s=5):
            await buried.wait()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve the bus from a thread while the context is open."""
        ready = threading.Event()
        stop = asyncio.Event()

        async def main() -> None:
            async with serve(self.transport, self.path / "bus.sock"):
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=self.loop.run_until_complete, args=(main(),))
        thread.start()
        assert ready.wait(30)
        try:
            yield
        finally:
            self.loop.call_soon_threadsafe(stop.set)
            thread.join(30)
            self.loop.close()

    @contextmanager
    def worker(self, to: JobState, reason: str = "", result: str | None = None) -> Iterator[None]:
        """End every job that is asked for, while the context is open."""
        entered, stop = threading.Event(), asyncio.Event()
        work = self._end_jobs(to, reason, result, entered, stop)
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        assert entered.wait(30)
        try:
            yield
        finally:
            self.loop.call_soon_threadsafe(stop.set)
            future.result(timeout=30)

    async def _end_jobs(
        self,
        to: JobState,
        reason: str,
        result: str | None,
        entered: threading.Event,
        stop: asyncio.Event,
    ) -> None:
        async with open_store(f"sqlite://{self.path}/store.db") as store:
            bus = Bus(self.transport, "test", store)

            async def receive(delivery: Delivery) -> None:
                request = await bus.open(delivery.envelope, RehearsalRequested)
                await end_job(store, bus, request.job, to, reason, result)
                await delivery.ack()

            async with self.transport.receive(REQUESTS, receive, prefetch=1, grace_s=5):
                entered.set()
                await stop.wait()


async def end_job(
    store: Store, bus: Bus, key: str, to: JobState, reason: str, result: str | None
) -> None:
    """Take a job through training to its end."""
    job = await advance(store, await store.get(Job, key), "training")
    await bus.publish(Progress(job=key, stage="training", state="training", done=50, total=100))
    if to == "completed":
        job = await advance(store, job, "releasing")
    job = await finish(store, job, to, reason, result=result)
    await bus.publish(Progress(job=key, stage="releasing", state=job.state, done=1, total=1))
