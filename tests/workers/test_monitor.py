"""A drift asks for one job, whoever looks and whatever is repeated or killed; without one, nothing happens."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from bus.errors import BusUnavailable
from bus.memory import MemoryTransport
from bus.transport import Envelope, Topology
from schemas.documents import Job, Monitor
from schemas.monitoring import Observed
from store.base import change
from store.jobs import finish
from tests.workers.monitored import LATENTS, NOON, REQUESTS, SURE, UNSURE, Scene
from tests.workers.scene import add_version, rehearsal, scores, sent
from workers.fleet import stage as fleet


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
    scene.now += timedelta(hours=1)
    assert (await scene.window(SURE)).alarms == 2


async def test_the_cooldown_holds_for_the_next_version_too(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.drifted()
    await released(scene, 2)
    scene.now += timedelta(minutes=59)
    for _ in range(4):
        await scene.window()

    waiting = [await scene.window(UNSURE) for _ in range(3)]

    assert [(watch.armed, watch.alarms, watch.level) for watch in waiting] == [(True, 1, 1)] * 3
    note = "; the alarm waits for the cooldown, until 2025-01-01 13:00 UTC"
    assert all(watch.figures.endswith(note) for watch in waiting)
    [line] = [each.message for each in caplog.records if note in each.message]
    assert line.startswith("monitor of m@2: ")
    scene.now += timedelta(minutes=1)
    assert (await scene.window(UNSURE)).alarms == 2
    assert {job.token for job in await scene.jobs()} == {"monitor-m@1-1", "monitor-m@2-2"}


async def test_alarms_and_releases_do_not_chase_each_other(scene: Scene) -> None:
    for number in range(2, 14):  # each is released ten minutes after the one before, and no better
        await scene.window(correct=300, wrong=200)
        await released(scene, number)
        scene.now += timedelta(minutes=10)

    assert len(await scene.jobs()) == 2


async def released(scene: Scene, number: int) -> None:
    """End the jobs with a release, which the device runs from now on."""
    await scene.end_jobs()
    await add_version(scene.store, number, scores=scores(0.95, measured_on="field"))
    scene.device = replace(scene.device, version=number, counted=Observed(since=NOON))


async def test_a_version_without_a_probe_is_no_alarm_for_what_it_never_could(scene: Scene) -> None:
    await add_version(scene.store, 2, scores=scores(0.97))
    scene.device = replace(scene.device, version=2)
    for _ in range(10):
        watch = await scene.window(correct=435, wrong=65)

    assert (watch.alarms, watch.forgetting) == (0, 0)
    assert "wrong 0.130, at first 0.130" in watch.figures
    assert (await scene.window(correct=350, wrong=150)).alarms == 1


async def test_activations_of_another_size_ask_for_a_job(scene: Scene) -> None:
    for _ in range(4):
        await scene.window()
    await scene.window(latents=(*LATENTS[8:], *LATENTS[:8]))

    [job] = await scene.jobs()
    assert "latents: index" in job.cause


async def test_it_waits_while_the_model_has_a_job(scene: Scene) -> None:
    running = Job(id="j-mine", token="", model="m", spec=rehearsal(), state="training")
    await scene.store.insert(running)

    waiting = await scene.drifted()
    assert (waiting.armed, waiting.alarms) == (True, 0)
    assert len(await scene.jobs()) == 1

    await finish(scene.store, running, "failed", "not of interest here")
    assert (await scene.window(UNSURE)).alarms == 1
    assert len(await scene.jobs()) == 2


async def test_a_monitor_that_is_off_asks_for_nothing(scene: Scene) -> None:
    def off(monitor: Monitor) -> Monitor:
        return monitor.model_copy(update={"state": "off"})

    for _ in range(4):
        await scene.window()
    await change(scene.store, Monitor, "m", off)
    await scene.window(UNSURE)

    assert await scene.jobs() == []
