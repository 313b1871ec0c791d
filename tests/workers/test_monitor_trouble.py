"""What is wrong with one monitor keeps no other waiting; a store that is away is everybody's matter."""

from collections.abc import Callable
from typing import Any

import pytest

from learning import monitoring
from schemas import documents
from schemas.documents import Model, Monitor
from schemas.monitoring import MonitorPolicy, Observed
from store.errors import StoreUnavailable
from tests.workers.monitored import HALVES, NOON, SURE, Scene
from tests.workers.scene import add_version, rehearsal, scores


async def test_a_model_without_a_release_is_passed_over(scene: Scene) -> None:
    policy = MonitorPolicy(spec=rehearsal(model="none"))
    await scene.store.insert(Monitor(id="none", policy=policy))

    assert (await scene.drifted()).alarms == 1


async def add_other(scene: Scene) -> None:
    """Monitor another model, which is looked at first."""
    store = scene.store
    await add_version(store, id="other@1", model="other", scores=scores(0.5, measured_on="field"))
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

    def failing(
        level: float, window: Any, expected: monitoring.Expected, limits: Any
    ) -> monitoring.Chart:
        if expected.share == 0.5:
            raise ValueError("math domain error")
        return forgetting(level, window, expected, limits)

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
