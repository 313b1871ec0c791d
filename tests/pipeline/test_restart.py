"""What a process that is killed had begun goes on from where it stood, and comes to the same result."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bus.bus import Bus
from bus.connect import connect
from bus.errors import Unroutable
from bus.memory import MemoryTransport
from control.verbs.reviews import decide
from schemas.documents import Job, JobState, ModelVersion
from schemas.flow import Progress
from schemas.job import RehearsalSpec, Training
from schemas.settings import Settings
from store.base import Store
from store.connect import open_store
from tests.pipeline.system import NAMES, System, add_digits, embedded
from tests.pipeline.test_rules import prepare, reaches, rehearsal
from workers.process import resume

SLICE_S = 0.05
PATIENCE_S = 180
LONG = RehearsalSpec(
    model="digits", new_data="all", training=Training(epochs=24, patience=24, batch_size=32)
)


@contextmanager
def up(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run `rdg up` in a process of its own, and end it with SIGKILL."""
    env = {**os.environ, "RDG_HOME": str(home), "RDG_SLICE_S": str(SLICE_S)}
    command = [sys.executable, "-m", "control.cli", "up"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr
            assert any("ready" in line for line in process.stderr), "it ended before it was ready"
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def reached(home: Path) -> AsyncIterator[System]:
    """The system that another process runs in that folder."""
    settings = Settings(home=home)
    async with open_store(settings.store_url) as store, connect(settings.bus_url) as transport:
        yield System(Bus(transport, "test", store), store, settings)


async def steps(system: System) -> AsyncIterator[float]:
    """Follow how much of the training is done, in percent."""
    async with system.bus.follow(Progress, since="first") as progress:
        async for news in progress:
            if news.job == "j-long" and news.stage == "training":
                yield news.done


async def weights(store: Store) -> list[str]:
    job = await store.get(Job, "j-long")
    assert (job.state, job.reason) == ("completed", "")
    return [part.digest for part in (await store.get(ModelVersion, str(job.result))).parts]


async def undisturbed(folder: Path) -> list[str]:
    async with embedded(folder, slice_s=60) as system:
        await add_digits(system.store, "all", NAMES)
        await system.run("j-long", LONG)
        return await weights(system.store)


@pytest.mark.timeout(400)
async def test_a_killed_system_goes_on_training_from_its_last_slice(tmp_path: Path) -> None:
    home, done = tmp_path / "home", 0.0
    with up(home):
        async with asyncio.timeout(PATIENCE_S), reached(home) as system:
            await add_digits(system.store, "all", NAMES)
            await system.start("j-long", LONG)
            async for done in steps(system):
                before = (await system.store.get(Job, "j-long")).checkpoint
                if (
                    done and before and before.slice > 1
                ):  # at a fast machine, after much of the training
                    break

    async with asyncio.timeout(PATIENCE_S), embedded(home, slice_s=SLICE_S) as system:
        await resume(system.bus, system.store)
        went_on = await anext(steps(system))
        await system.over("j-long", within_s=PATIENCE_S)
        job = await system.store.get(Job, "j-long")
        disturbed = await weights(system.store)

    assert went_on >= done
    assert before is not None
    assert 0 < done < 100
    assert job.checkpoint is not None
    assert job.checkpoint.slice > before.slice > 1
    assert disturbed == await undisturbed(tmp_path / "undisturbed")


@pytest.mark.parametrize(("approved", "end"), [(True, "completed"), (False, "rejected")])
async def test_a_decision_taken_while_the_system_was_down_is_carried_out(
    tmp_path: Path, approved: bool, end: str
) -> None:
    async with embedded(tmp_path) as system:
        await prepare(system)
        job = await system.start("j-manual", rehearsal(review={"mode": "manual"}))
        await reaches(system, job, "reviewing")

    async with open_store(Settings(home=tmp_path).store_url) as store:
        nobody = Bus(MemoryTransport(), "test", store)
        with pytest.raises(Unroutable):
            await decide(store, nobody, job.id, approved=approved, reviewer="ada")

    async with embedded(tmp_path) as system:
        await resume(system.bus, system.store)
        assert (await system.over(job.id)).state == end


@pytest.mark.parametrize("state", ["submitted", "training"])
async def test_a_job_whose_message_was_lost_completes_all_the_same(
    tmp_path: Path, state: JobState
) -> None:
    async with embedded(tmp_path, slice_s=0.2, stall_s=0.2, sweep_s=0.1) as system:
        await add_digits(system.store, "all", NAMES)
        spec = LONG.model_copy(update={"training": Training(epochs=1)})
        await system.store.insert(
            Job(id="j-lost", token="", model="digits", spec=spec, state=state)
        )

        done = await system.over("j-lost")

    assert (done.state, done.reason) == ("completed", "")
