"""The main job over RabbitMQ and MongoDB, by processes that are killed while they work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from bus.bus import Bus
from bus.connect import connect
from schemas.documents import Job, ModelVersion, RehearsalSet
from schemas.flow import Progress
from schemas.job import FitSpec, RehearsalSpec, Training
from schemas.settings import Settings
from store.connect import open_store
from tests.pipeline.processes import Worker, workers
from tests.pipeline.system import NAMES, System, add_digits, embedded

pytestmark = [pytest.mark.rabbit, pytest.mark.mongo, pytest.mark.timeout(240)]

OLD, NEW = NAMES[:5], NAMES[5:]
GROUPS = (
    ("planning", "fitting"),
    ("generation",),
    ("prediction", "labelling"),
    ("collection", "review"),
    ("training", "releasing", "fleet"),
)


@asynccontextmanager
async def distributed(amqp_url: str, mongo_url: str, namespace: str) -> AsyncIterator[System]:
    settings = Settings(
        bus=SecretStr(amqp_url), store=SecretStr(mongo_url), namespace=namespace, slice_s=0.2
    )
    async with (
        open_store(settings.store_url) as store,
        connect(settings.bus_url, namespace) as transport,
    ):
        yield System(Bus(transport, "test", store), store, settings)


def environment(amqp_url: str, mongo_url: str, namespace: str) -> dict[str, str]:
    return {
        "RDG_BUS": amqp_url,
        "RDG_STORE": mongo_url,
        "RDG_NAMESPACE": namespace,
        "RDG_SLICE_S": "0.2",
    }


async def run_jobs(system: System, generator: str) -> Job:
    """Train a first model and fit a generator, then start the rehearsal job."""
    await add_digits(system.store, "old", OLD)
    await add_digits(system.store, "new", NEW)
    first = RehearsalSpec(model="digits", new_data="old", training=Training(epochs=5))
    await system.run("j-first", first)
    await system.run("j-fit", FitSpec(model="digits", generator=generator, data="old"))
    asked = {
        "model": "digits",
        "new_data": "new",
        "generator": generator,
        "classes": OLD,
        "count": 30,
        "training": {"epochs": 25, "patience": 25},
        "filter": {"min_confidence": 0.0},
        "review": {"min_count": 0},
        "seed": 3,
    }
    return await system.start("j-main", RehearsalSpec.model_validate(asked))


async def result(system: System) -> tuple[list[str], list[str]]:
    """Return the digests of the samples and of the weights that the job gave."""
    job = await system.over("j-main", within_s=120)
    assert (job.state, job.reason) == ("completed", "")
    kept = await system.store.get(RehearsalSet, job.run)
    version = await system.store.get(ModelVersion, str(job.result))
    return [part.digest for part in kept.parts], [part.digest for part in version.parts]


async def kill_as_it_goes(system: System, replicas: Sequence[Worker]) -> int:
    """Kill a worker of each group once its stages are at work; return how many were killed."""
    waiting = list(replicas)
    async with system.bus.follow(Progress, since="first") as progress:
        async for news in progress:
            if news.job != "j-main":
                continue
            for worker in [each for each in waiting if news.stage in each.stages]:
                await asyncio.to_thread(worker.kill)
                waiting.remove(worker)
            if (
                news.stage == "planning"
            ):  # shards are out: those who make and judge them are at work
                for worker in [
                    each for each in waiting if each.stages[0] in ("generation", "prediction")
                ]:
                    await asyncio.to_thread(worker.kill)
                    waiting.remove(worker)
            if not waiting:
                break
    return len(replicas)


@pytest.mark.parametrize("generator", ["gmm", "ga"])
async def test_killing_one_worker_of_each_stage_changes_nothing_in_the_result(
    amqp_url: str, mongo_url: str, bus_prefix: str, tmp_path: Path, generator: str
) -> None:
    async with embedded(tmp_path / "undisturbed") as system:
        await run_jobs(system, generator)
        undisturbed = await result(system)
    processes = workers([*GROUPS, *GROUPS], environment(amqp_url, mongo_url, bus_prefix), tmp_path)

    with processes as running:
        async with distributed(amqp_url, mongo_url, bus_prefix) as system:
            await run_jobs(system, generator)
            async with asyncio.timeout(120):
                killed = await kill_as_it_goes(system, running[: len(GROUPS)])
            disturbed = await result(system)
        stopped = [await asyncio.to_thread(worker.stop) for worker in running[len(GROUPS) :]]

    assert killed == len(GROUPS)
    assert disturbed == undisturbed
    assert stopped == [0] * len(GROUPS)
