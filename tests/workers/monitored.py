"""A monitored model, and a device that counts what it answers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bus.bus import Bus
from bus.memory import MemoryTransport
from bus.transport import Queue
from schemas.documents import Job, Monitor
from schemas.flow import DeviceReported, RehearsalRequested
from schemas.monitoring import Observed, Watch
from store.base import Store
from store.jobs import finish
from tests.workers.scene import sent
from workers.fleet import stage as fleet
from workers.monitor import Monitors
from workers.resources import Resources

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
REQUESTS = Queue(f"planning.{RehearsalRequested.topic}", RehearsalRequested.topic)
SURE = (0, 0, 0, 2, 3, 5, 10, 20, 60, 400)
UNSURE = (0, 10, 50, 80, 100, 100, 60, 50, 30, 20)
HALVES = (250, 250)
LATENTS = (0,) * 50 + (50, 100, 200, 100, 50)


@dataclass
class Device:
    """Counts answers, and reports them all each time, as the edge agent does."""

    resources: Resources
    name: str = "pump-1"
    version: int = 1
    counted: Observed = field(default_factory=lambda: Observed(since=NOON))
    minutes: Any = field(default_factory=lambda: count(1))

    async def sees(self, confidence: tuple[int, ...] = SURE, **counts: Any) -> DeviceReported:
        """Report 500 answers more, and return the report."""
        same = {"since": NOON, "predicted": HALVES, "latents": LATENTS}
        more = Observed.model_validate({**same, "confidence": confidence, **counts})
        self.counted = self.counted.plus(more)
        report = DeviceReported(
            device=self.name,
            model="m",
            version=self.version,
            state="running",
            at=NOON + timedelta(minutes=next(self.minutes)),
            observed=self.counted,
        )
        await sent(fleet(self.resources), report)
        return report


@dataclass
class Scene:
    """A monitored model, one device that runs it, and the time of day."""

    store: Store
    device: Device
    transport: MemoryTransport
    now: datetime = NOON

    @property
    def monitors(self) -> Monitors:
        """Those of a process that begins now: it knows nothing but the store."""
        return Monitors(Bus(self.transport, "test"), self.store, clock=lambda: self.now)

    async def window(self, confidence: tuple[int, ...] = SURE, **counts: Any) -> Watch:
        """Let the device see 500 answers, look, and return how far the monitor is."""
        await self.device.sees(confidence, **counts)
        await self.monitors.look()
        return await self.watch()

    async def drifted(self) -> Watch:
        """Take the reference, then drift."""
        for _ in range(4):
            await self.window()
        return await self.window(UNSURE)

    async def watch(self) -> Watch:
        watch = (await self.store.get(Monitor, "m")).watch
        assert watch is not None
        return watch

    async def jobs(self) -> list[Job]:
        return await self.store.find(Job, model="m")

    async def requests(self) -> int:
        return (await self.transport.status(REQUESTS.name)).waiting

    async def end_jobs(self) -> None:
        for job in await self.jobs():
            await finish(self.store, job, "failed", "not of interest here")
