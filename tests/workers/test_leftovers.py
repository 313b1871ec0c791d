"""What clearing up after a job does when the model's newest release cannot be published again."""

import logging

import pytest

from bus.bus import Bus
from bus.memory import MemoryTransport
from schemas.flow import ModelReleased
from store.base import Store
from store.jobs import finish
from tests.workers.scene import add_job, add_version, job_now, plain
from workers import releasing
from workers.leftovers import clear


async def test_release_that_no_log_takes_is_told_of_and_its_turn_comes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus(MemoryTransport(), "test", store)
    job = await add_job(store, plain(), state="releasing")
    await add_version(store, 1)
    await add_version(store, 2)
    await finish(store, job, "completed", result="m@1")
    monkeypatch.setattr(releasing, "RELEASE_BYTES", 1)

    await clear(store, bus, await job_now(store))

    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert said.startswith("m@2 is not on the release log")
    assert "a release carries 1" in said
    assert (await job_now(store)).leftovers == "possible"

    monkeypatch.undo()
    await clear(store, bus, await job_now(store))

    assert (await job_now(store)).leftovers == "none"
    async with bus.follow(ModelReleased, "m", "newest") as log:
        assert (await anext(log)).manifest.version == 2
