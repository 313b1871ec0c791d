"""Devices see another world than the model was released for: a job appears, runs, and ends in a release for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bus.bus import Bus
from bus.tasks import tasks
from edge_agent.agent import Agent
from edge_agent.slots import opened
from schemas.documents import Job, Monitor
from schemas.flow import DeviceReported
from schemas.job import RehearsalSpec, Training
from schemas.monitoring import MonitorPolicy, Watch
from tests.pipeline.system import NAMES, System, add_digits, digits, embedded

OLD = NAMES[:5]
WITHIN_S = 60
ROUND = 200


@asynccontextmanager
async def device(system: System, folder: Path) -> AsyncIterator[Agent]:
    """Run an agent that reports what it counts all the time."""
    with opened(folder / "device") as slots:
        agent = Agent("pump-7", "digits", slots, report_s=0.05)
        async with tasks() as group:
            group.create_task(agent.follow(Bus(system.bus.transport, "pump-7")), name="agent")
            await until(lambda: agent.running is not None)
            yield agent


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = holds()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.02)


async def watched(system: System) -> Watch | None:
    return (await system.store.get(Monitor, "digits")).watch


async def see(system: System, agent: Agent, samples: NDArray[np.uint8], answers: int) -> None:
    """Let the agent answer, and wait until its monitor has counted it."""
    before = await watched(system)
    known = before.counted.answers if before and before.counted else 0
    rng = np.random.default_rng(known)
    agent.predict(rng.choice(samples, answers))

    async def is_counted() -> bool:
        now = await watched(system)
        return bool(now and now.counted and now.counted.answers != known and not now.asking)

    await until(is_counted)


async def monitored(system: System) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Release a model of the old digits, watch it, and return old and new digits that it has not seen."""
    await add_digits(system.store, "old", OLD)
    await add_digits(system.store, "all", NAMES)
    first = RehearsalSpec(model="digits", new_data="old", training=Training(epochs=8))
    assert (await system.run("j-first", first)).state == "completed"
    spec = RehearsalSpec(model="digits", new_data="all", training=Training(epochs=1))
    policy = MonitorPolicy(spec=spec, window=ROUND, reference=5 * ROUND)
    await system.store.insert(Monitor(id="digits", policy=policy))
    samples, labels = digits("test")
    return samples[labels < 5], samples[labels >= 5]


async def test_a_job_appears_and_runs_when_devices_see_another_world(tmp_path: Path) -> None:
    async with embedded(tmp_path, monitor_s=0.05) as system:
        known, unknown = await monitored(system)
        async with device(system, tmp_path) as agent:
            for _ in range(10):
                await see(system, agent, known, ROUND)
            quiet = await system.store.find(Job, model="digits")
            await see(system, agent, unknown, ROUND)
            [job, first] = await system.store.find(Job, model="digits")
            done = await system.over(job.id)
            await until(lambda: agent.running is not None and agent.running.version == 2)

    assert [each.id for each in quiet] == [first.id] == ["j-first"]
    assert (done.state, done.result) == ("completed", "digits@2")
    assert done.cause.startswith("alarm 1 of digits@1: ")


async def test_the_monitor_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with embedded(tmp_path, monitor_s=0.05) as system:
        known, unknown = await monitored(system)
        async with device(system, tmp_path) as agent:
            for _ in range(6):
                await see(system, agent, known, ROUND)
        before = await watched(system)

    async with (
        embedded(tmp_path, monitor_s=0.05) as system,
        device(system, tmp_path) as agent,  # it keeps its version, and counts anew
    ):
        await see(system, agent, unknown, ROUND)
        after = await watched(system)
        jobs = await system.store.find(Job, model="digits")

    assert before is not None
    assert after is not None
    assert after.reference == before.reference
    assert (before.alarms, after.alarms, len(jobs)) == (0, 1, 2)


def test_a_report_tells_nothing_of_a_sample() -> None:
    counts = DeviceReported.model_json_schema()["$defs"]["Observed"]["properties"]

    assert set(counts) == {"since", "confidence", "predicted", "latents", "correct", "wrong"}
