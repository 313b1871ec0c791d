"""The monitors: a model whose devices see something else than it was released for is rehearsed.

Every process that attends the fleet looks at all monitors now and then. A look adds up what the devices that run the
released version have counted; once that is a window more than before, the window is judged (workers/charting.py),
and the monitor is replaced if nobody else did so meanwhile. So repeated reports, replicas and restarts change nothing.

A chart at its level of alarm asks for a job, unless one of the model is open: then it waits. After that the monitor
asks for no other until all charts are back at a share of that level and the cooldown is over. Another version that is
released is watched at once, and may have another world by then; its alarm waits until the cooldown is over too. So
alarms and releases cannot chase each other. The alarm is noted before its job is asked for, whose id follows from the
model, the version and the number of the alarm: whoever is killed in between, or does it as well, asks for the same job.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bus.bus import Bus
from bus.errors import BusError
from bus.tracing import begun
from schemas.documents import Device, Job, Model, ModelVersion, Monitor
from schemas.flow import RehearsalRequested
from schemas.job import RehearsalSpec
from schemas.message import derived_id
from schemas.monitoring import MonitorPolicy, Observed, Watch
from schemas.names import job_of
from store.base import Store, each
from store.errors import Conflict, NotFound, StoreError, StoreUnavailable
from workers.charting import charted
from workers.whereabouts import OPEN

log = logging.getLogger("rdg.monitor")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Monitors:
    """All monitors of a store; whoever looks at them, they are where the last look left them.

    Attributes:
        bus: Where jobs are asked for.
        store: Where monitors, devices and jobs are.
        clock: The time of day.

    """

    bus: Bus
    store: Store
    clock: Callable[[], datetime] = _now

    async def run(self, every_s: float) -> None:
        """Look at all monitors for ever, about every so many seconds."""
        while True:
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311  replicas take turns
            try:
                await self.look()
            except StoreError as error:
                log.warning("looking again in %g s: %s", every_s, error)

    async def look(self) -> None:
        """Look once at each monitor that is on. What one of them meets does not keep the others waiting."""
        async for monitor in each(self.store, Monitor):
            if monitor.state == "on":
                await self._look_at(monitor)

    async def _look_at(self, monitor: Monitor) -> None:
        try:
            for step in (self._asked, self._judged, self._asked):
                monitor = await step(monitor)
        except StoreUnavailable:
            raise
        except Conflict:
            log.debug("somebody else looked at the monitor of %s", monitor.id)
        except (BusError, StoreError) as error:  # of this monitor alone
            log.warning("the monitor of %s, at the next look: %s", monitor.id, error)
        except Exception:  # what devices say must not end the process, at each restart again
            log.exception("the monitor of %s cannot be judged; this is a bug", monitor.id)

    async def _judged(self, monitor: Monitor) -> Monitor:
        """Return the monitor after the newest window, if that is complete."""
        version = await _released(self.store, monitor.id)
        counted = await _counted(self.store, version) if version else None
        if version is None or counted is None:
            return monitor
        watch = _of_version(monitor.watch, version.number)
        window = counted.minus(watch.counted) if watch.counted else counted
        if window and window.answers < monitor.policy.window:
            return monitor
        now = watch.model_copy(update={"counted": counted})
        if window:  # else a device went, and with it what it had counted: begin to count from here
            now = charted(now, window, version, monitor.policy)
            now = await self._decided(now, watch, monitor)
        return await self._replaced(monitor, now)

    async def _decided(self, watch: Watch, before: Watch, monitor: Monitor) -> Watch:
        """Return the watch fired, or armed again, or as it is."""
        until = self._cooling(watch, monitor.policy)
        is_alarm = watch.armed and watch.level >= 1
        if is_alarm and until:
            return _held(watch, before, monitor.id, until)
        if is_alarm:
            return await self._fired(watch, monitor.id)
        if not watch.armed and not until and watch.level <= monitor.policy.rearm_at:
            log.info("monitor of %s@%d is armed again", monitor.id, watch.version)
            return watch.model_copy(update={"armed": True})
        return watch

    def _cooling(self, watch: Watch, policy: MonitorPolicy) -> datetime | None:
        """Return when the cooldown ends; None if it is over."""
        if watch.fired is None:
            return None
        until = watch.fired + timedelta(seconds=policy.cooldown_s)
        return until if self.clock() < until else None

    async def _fired(self, watch: Watch, model: str) -> Watch:
        """Return the watch with one more alarm, whose job is to be asked for; as it is while the model has a job."""
        if job := await _open_job(self.store, model):
            log.info("the monitor of %s waits for job %s: %s", model, job, watch.figures)
            return watch
        alarm = watch.alarms + 1
        cause = f"alarm {alarm} of {model}@{watch.version}: {watch.figures}"
        update = {"armed": False, "fired": self.clock(), "alarms": alarm, "asking": cause}
        return watch.model_copy(update=update)

    async def _asked(self, monitor: Monitor) -> Monitor:
        """Return the monitor after the job of its last alarm was asked for, if that has not been done."""
        watch = monitor.watch
        if watch is None or not watch.asking:
            return monitor
        token = f"monitor-{monitor.id}@{watch.version}-{watch.alarms}"
        await self._submit(monitor.policy.spec, token, watch.asking)
        log.warning("monitor asks for job %s: %s", job_of(token), watch.asking)
        return await self._replaced(monitor, watch.model_copy(update={"asking": ""}))

    async def _submit(self, spec: RehearsalSpec, token: str, cause: str) -> None:
        """Keep a job and ask for it, as a publisher does; any number of times."""
        with begun("monitor rehearsal") as trace:
            key = job_of(token)
            asked = Job(id=key, token=token, model=spec.model, spec=spec, cause=cause, trace=trace)
            await self.store.insert(asked)
            job = await self.store.get(Job, key)
            if job.state == "submitted":
                request = RehearsalRequested(
                    id=derived_id(job.run), job=job.id, attempt=job.attempt
                )
                await self.bus.publish(request, job.trace)

    async def _replaced(self, monitor: Monitor, watch: Watch) -> Monitor:
        return await self.store.replace(monitor.model_copy(update={"watch": watch}))


async def _released(store: Store, model: str) -> ModelVersion | None:
    try:
        number = (await store.get(Model, model)).released
    except NotFound:
        return None
    return await store.get(ModelVersion, f"{model}@{number}") if number else None


async def _counted(store: Store, version: ModelVersion) -> Observed | None:
    """Return the sum of what the devices that run the version have counted; None if none has."""
    total: Observed | None = None
    async for device in each(store, Device, model=version.model):
        counts = device.counted if device.version == version.number else None
        if counts and len(counts.predicted) <= len(version.classes):
            total = total.plus(counts) if total else counts
    return total


async def _open_job(store: Store, model: str) -> str | None:
    """Return the id of a job of the model that is not over."""
    for state in OPEN:
        for job in await store.find(Job, model=model, state=state, limit=1):
            return job.id
    return None


def _of_version(watch: Watch | None, version: int) -> Watch:
    """Return the watch on the version: as it is, or for another version a new and armed one.

    How many alarms there were, and when the last was, is the model's.
    """
    if watch is None:
        return Watch(version=version)
    if watch.version != version:
        return Watch(version=version, alarms=watch.alarms, fired=watch.fired)
    return watch


def _held(watch: Watch, before: Watch, model: str, until: datetime) -> Watch:
    """Return the watch whose alarm waits for the end of the cooldown: its figures say so, and the log once."""
    note = f"the alarm waits for the cooldown, until {until:%Y-%m-%d %H:%M} UTC"
    if before.level < 1:
        log.warning("monitor of %s@%d: %s; %s", model, watch.version, watch.figures, note)
    return watch.model_copy(update={"figures": f"{watch.figures}; {note}"})
