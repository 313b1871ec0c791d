"""Whose answers count, and how many it takes; no device can end the monitor with what it claims."""

import numpy as np
import pytest

from schemas.monitoring import MAX_COUNT
from tests.workers.monitored import SURE, UNSURE, Device, Scene


async def test_fewer_answers_than_a_window_wait_for_more(scene: Scene) -> None:
    for _ in range(4):
        await scene.window()
    before = await scene.watch()

    assert await scene.window((0, 0, 499)) == before  # however odd they are
    assert (await scene.window((0, 0, 1))).alarms == 1


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
