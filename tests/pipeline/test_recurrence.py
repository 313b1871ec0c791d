"""Classes that come again and look different: by night, after they were learned by day."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.documents import ModelVersion, RehearsalSet
from schemas.job import RehearsalSpec, Training
from tests.pipeline.system import System, add_digits, embedded

CLASSES = ("0", "1", "2")
BY_DAY, BY_NIGHT = "gmm-j-day-1", "gmm-j-night-1"


def dark(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return 255 - samples


def learn(data: str, **changes: object) -> RehearsalSpec:
    """Learn digits from that data, fit a generator on it, and score by what they look like by day."""
    asked = {
        "model": "digits",
        "new_data": data,
        "generator": "gmm",
        "count": 100,
        "probe": "day",
        "training": Training(epochs=15),
        **changes,
    }
    return RehearsalSpec.model_validate(asked)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """A model that knows the digits by day."""
    async with embedded(tmp_path) as running:
        await add_digits(running.store, "day", CLASSES)
        await add_digits(running.store, "night", CLASSES, dark)
        job = await running.run("j-day", learn("day"))
        assert (job.state, job.reason) == ("completed", "")
        yield running


async def test_what_a_class_looked_like_before_is_rehearsed_and_known_afterwards(
    system: System,
) -> None:
    job = await system.run("j-night", learn("night"))

    assert job.reason == ""
    assert job.fitted == dict.fromkeys(CLASSES, (BY_DAY, BY_NIGHT))
    kept = await system.store.get(RehearsalSet, job.run)
    assert kept.fitted == (BY_DAY, BY_NIGHT)
    assert min(kept.counts.values()) >= 67
    version = await system.store.get(ModelVersion, str(job.result))
    assert version.scores.accuracy > 0.9
    assert version.provenance.fitted == (BY_DAY, BY_NIGHT)


async def test_a_job_may_rehearse_the_newest_look_alone(system: System) -> None:
    job = await system.run("j-night", learn("night", fits="newest"))

    assert job.reason == ""
    assert job.fitted == dict.fromkeys(CLASSES, (BY_NIGHT,))
    assert (await system.store.get(RehearsalSet, job.run)).fitted == (BY_NIGHT,)


async def test_the_same_data_again_is_rehearsed_from_its_newest_fit(system: System) -> None:
    await system.run("j-night", learn("night"))

    job = await system.run("j-day-again", learn("day"))

    assert job.reason == ""
    assert job.fitted == dict.fromkeys(CLASSES, (BY_NIGHT, "gmm-j-day-again-1"))
