"""A drift asks for one job, whoever looks and whatever is repeated or killed; without one, nothing happens."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable
from bus.memory import MemoryTransport
from bus.transport import Envelope, Queue, Topology
from learning import monitoring
from schemas import documents
from schemas.documents import Job, Model, Monitor
from schemas.flow import DeviceReported, RehearsalRequested
from schemas.monitoring import MAX_COUNT, MonitorPolicy, Observed, Watch
from store.base import Store, change
from store.errors import StoreUnavailable
from store.jobs import finish
from tests.workers.scene import add_version, rehearsal, scores, sent
from workers.fleet import stage as fleet
from workers.monitor import Monitors
from workers.resources import Resources

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
REQUESTS = Queue(f"planning.{RehearsalRequested.topic}", RehearsalRequested.topic)
SURE = (0, 0, 0, 2, 3, 5, 10, 20, 60, 400)
UNSURE = (0, 10, 50, 80, 100, 100, 60, 50, 30, 20)
HALVES = (250, 250)


class Outage(MemoryTransport):
    """A bus that is away for so many messages."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def send(self, envelope: Envelope) -> None:
        if self.failures:
            self.failures -= 1
            raise BusUnavailable
        await super().send(envelope)


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
        more = {"since": NOON, "confidence": confidence, "predicted": HALVES, **counts}
        self.counted = self.counted.plus(Observed.model_validate(more))
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


@pytest.fixture
async def scene(store: Store, resources: Resources) -> Scene:
    await add_version(store, scores=scores(0.95))
    policy = MonitorPolicy(spec=rehearsal(), window=500, reference=2000, cooldown_s=3600)
    await store.insert(Monitor(id="m", policy=policy))
    transport = MemoryTransport()
    await transport.declare(Topology((REQUESTS,)))
    return Scene(store, Device(resources), transport)


async def test_a_drift_asks_for_the_job_of_the_policy_and_says_why(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    watch = await scene.drifted()

    [job] = await scene.jobs()
    assert (job.spec, job.state, job.token) == (rehearsal(), "submitted", "monitor-m@1-1")
    assert job.cause.startswith("alarm 1 of m@1: forgetting: ")
    assert "unsure 0.480, at first 0.010, of 500 answers (level 1.00)" in job.cause
    assert "confidence: index" in job.cause
    assert (watch.armed, watch.alarms, watch.asking) == (False, 1, "")
    assert await scene.requests() == 1
    [line] = [each.message for each in caplog.records if "asks for job" in each.message]
    assert job.id in line
    assert job.cause in line


async def test_forgetting_asks_for_a_job_before_there_is_a_reference(scene: Scene) -> None:
    await scene.window(correct=95, wrong=5)
    await scene.window(correct=60, wrong=40)

    [job] = await scene.jobs()
    assert "forgetting: wrong 0.400, released with 0.050, of 100 answers" in job.cause
    assert "doubt" not in job.cause


async def test_other_classes_ask_for_a_job(scene: Scene) -> None:
    for _ in range(4):
        await scene.window()
    await scene.window(predicted=(480, 20))

    [job] = await scene.jobs()
    assert "classes: index" in job.cause


@pytest.mark.parametrize("seed", range(5))
async def test_without_a_drift_no_job_is_asked_for(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = np.array(SURE) / sum(SURE)
    for _ in range(30):
        right = int(rng.binomial(50, 0.95))
        await scene.window(
            tuple(rng.multinomial(500, shares).tolist()),
            predicted=tuple(rng.multinomial(500, (0.5, 0.5)).tolist()),
            correct=right,
            wrong=50 - right,
        )

    assert await scene.jobs() == []


async def test_fewer_answers_than_a_window_wait_for_more(scene: Scene) -> None:
    for _ in range(4):
        await scene.window()
    before = await scene.watch()

    assert await scene.window((0, 0, 499)) == before  # however odd they are
    assert (await scene.window((0, 0, 1))).alarms == 1


async def test_repeated_reports_and_looks_change_nothing(scene: Scene) -> None:
    await scene.drifted()
    report = await scene.device.sees()
    await scene.monitors.look()
    before = await scene.store.get(Monitor, "m")

    for _ in range(3):
        await sent(fleet(scene.device.resources), report)
        await scene.monitors.look()

    assert await scene.store.get(Monitor, "m") == before
    assert (len(await scene.jobs()), await scene.requests()) == (1, 1)


async def test_replicas_that_look_at_once_ask_for_one_job(scene: Scene) -> None:
    for _ in range(4):
        await scene.window()
    await scene.device.sees(UNSURE)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(scene.monitors.look())

    assert len(await scene.jobs()) == 1
    assert (await scene.watch()).alarms == 1


async def test_an_alarm_whose_job_could_not_be_asked_for_is_not_lost(scene: Scene) -> None:
    scene.transport = Outage(failures=1)
    await scene.transport.declare(Topology((REQUESTS,)))
    watch = await scene.drifted()
    assert watch.asking.startswith("alarm 1 of m@1")
    assert await scene.requests() == 0

    await scene.monitors.look()

    assert (await scene.watch()).asking == ""
    assert (len(await scene.jobs()), await scene.requests()) == (1, 1)


async def test_whoever_is_killed_after_the_alarm_leaves_it_to_the_next(scene: Scene) -> None:
    await scene.drifted()
    [job] = await scene.jobs()
    alarm = {"asking": job.cause}

    def not_asked(monitor: Monitor) -> Monitor:
        assert monitor.watch is not None
        return monitor.model_copy(update={"watch": monitor.watch.model_copy(update=alarm)})

    await change(scene.store, Monitor, "m", not_asked)
    await scene.monitors.look()

    assert [each.id for each in await scene.jobs()] == [job.id]
    assert (await scene.watch()).asking == ""


async def test_a_drift_that_goes_on_asks_for_no_second_job(scene: Scene) -> None:
    await scene.drifted()
    await scene.end_jobs()
    scene.now += timedelta(days=30)

    for _ in range(5):
        await scene.window(UNSURE)

    assert len(await scene.jobs()) == 1


async def test_it_is_armed_again_only_below_the_low_level_and_after_the_cooldown(
    scene: Scene,
) -> None:
    await scene.drifted()
    await scene.end_jobs()

    for _ in range(5):
        early = await scene.window()
    scene.now += timedelta(hours=2)
    high = await scene.window(tuple((np.array(SURE) + UNSURE).tolist()))
    for _ in range(5):
        low = await scene.window()

    assert (early.armed, early.level < 0.5) == (False, True)
    assert (high.armed, high.level > 0.5) == (False, True)
    assert (low.armed, low.level < 0.5) == (True, True)
    again = await scene.window(UNSURE)
    assert again.alarms == 2
    assert {job.token for job in await scene.jobs()} == {"monitor-m@1-1", "monitor-m@1-2"}


async def test_a_release_arms_it_at_once_and_begins_a_new_reference(scene: Scene) -> None:
    await scene.drifted()
    await scene.end_jobs()
    await add_version(scene.store, 2)
    scene.device = replace(scene.device, version=2, counted=Observed(since=NOON))

    first = await scene.window(UNSURE)  # that is what it was trained for

    assert (first.version, first.armed, first.level) == (2, True, 0)
    for _ in range(3):
        await scene.window(UNSURE)
    assert (await scene.window(UNSURE)).level < 0.5
    assert (await scene.window(SURE)).alarms == 2


async def test_it_waits_while_the_model_has_a_job(scene: Scene) -> None:
    running = Job(id="j-mine", token="", model="m", spec=rehearsal(), state="training")
    await scene.store.insert(running)

    waiting = await scene.drifted()
    assert (waiting.armed, waiting.alarms) == (True, 0)
    assert len(await scene.jobs()) == 1

    await finish(scene.store, running, "failed", "not of interest here")
    assert (await scene.window(UNSURE)).alarms == 1
    assert len(await scene.jobs()) == 2


async def test_devices_of_other_versions_do_not_count(scene: Scene) -> None:
    old = Device(scene.device.resources, name="pump-2", version=2)
    for _ in range(4):
        await scene.window()
    for _ in range(3):
        await old.sees(UNSURE)
        watch = await scene.window()

    assert watch.counted is not None
    assert watch.counted.answers == 7 * 500
    assert await scene.jobs() == []


async def test_counts_of_several_devices_add_up(scene: Scene) -> None:
    other = Device(scene.device.resources, name="pump-2")
    await other.sees()

    watch = await scene.window()

    assert watch.counted is not None
    assert (watch.counted.answers, watch.counted.predicted) == (1000, (500, 500))


async def test_a_device_that_goes_is_no_drift(scene: Scene) -> None:
    other = Device(scene.device.resources, name="pump-2")
    await other.sees(tuple((10 * np.array(SURE)).tolist()))
    await scene.window()

    other.version = 2
    await other.sees()
    watch = await scene.window()

    assert watch.counted is not None
    assert (watch.counted.answers, watch.alarms) == (1000, 0)
    assert (await scene.window()).alarms == 0


async def test_classes_that_the_version_does_not_have_do_not_count(scene: Scene) -> None:
    liar = Device(scene.device.resources, name="pump-2")
    await liar.sees(predicted=(1,) * 500)

    watch = await scene.window()

    assert watch.counted is not None
    assert len(watch.counted.predicted) == 2


async def test_a_monitor_that_is_off_asks_for_nothing(scene: Scene) -> None:
    def off(monitor: Monitor) -> Monitor:
        return monitor.model_copy(update={"state": "off"})

    for _ in range(4):
        await scene.window()
    await change(scene.store, Monitor, "m", off)
    await scene.window(UNSURE)

    assert await scene.jobs() == []


async def test_a_model_without_a_release_is_passed_over(scene: Scene) -> None:
    policy = MonitorPolicy(spec=rehearsal(model="none"))
    await scene.store.insert(Monitor(id="none", policy=policy))

    assert (await scene.drifted()).alarms == 1


async def test_counts_as_large_as_there_can_be_end_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    liar = Device(scene.device.resources, name="pump-2")
    await liar.sees((MAX_COUNT,) * 8, predicted=(MAX_COUNT, MAX_COUNT))
    await scene.monitors.look()

    watch = await scene.window((0,) * 9 + (500,))

    assert watch.figures.startswith("forgetting")
    assert "unsure 0.000, at first 0.625, of 500 answers" in watch.figures
    assert "cannot be judged" not in caplog.text


async def add_other(scene: Scene) -> None:
    """Monitor another model, which is looked at first."""
    store = scene.store
    await add_version(store, id="other@1", model="other", scores=scores(0.5))
    await store.insert(Model(id="other", released=1))
    policy = MonitorPolicy(spec=rehearsal(model="other"))
    await store.insert(Monitor(id="other", policy=policy))
    seen = Observed(since=NOON, confidence=SURE, predicted=HALVES)
    await store.insert(
        documents.Device(
            id="valve-1", model="other", version=1, state="running", reported=NOON, observed=seen
        )
    )


async def test_a_monitor_that_cannot_be_judged_ends_nothing_and_keeps_no_other_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await add_other(scene)
    forgetting = monitoring.forgetting

    def failing(level: float, window: Any, accuracy: float, limits: Any) -> monitoring.Chart:
        if accuracy == 0.5:
            raise ValueError("math domain error")
        return forgetting(level, window, accuracy, limits)

    monkeypatch.setattr(monitoring, "forgetting", failing)
    watch = await scene.drifted()

    assert watch.alarms == 1
    assert "the monitor of other cannot be judged" in caplog.text
    assert "math domain error" in caplog.text


async def test_a_damaged_version_keeps_no_other_monitor_waiting(
    scene: Scene, sqlite: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    await add_other(scene)
    sqlite("UPDATE documents SET body = json_remove(body, '$.parts') WHERE id = 'other@1'")

    watch = await scene.drifted()

    assert watch.alarms == 1
    assert "the monitor of other, at the next look: ModelVersion 'other@1'" in caplog.text


async def test_a_store_that_is_away_is_no_matter_of_one_monitor(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(scene.store, "get", away)

    with pytest.raises(StoreUnavailable):
        await scene.monitors.look()
