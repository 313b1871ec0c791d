"""A worker that is stopped leaves nothing behind: what it had is done, and nobody else gets it again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from uuid import UUID

import pytest

from bus.bus import Bus
from bus.desk import attend
from bus.rabbit import RabbitTransport
from bus.stage import Settlement, Stage, Terms, topology
from learning import generators
from schemas.documents import Job
from schemas.flow import RehearsalRequested
from schemas.job import FitSpec, RehearsalSpec, Training
from schemas.message import Message
from store.jobs import finish
from tests.bus.inbox import until
from tests.pipeline.processes import workers
from tests.pipeline.system import NAMES, System, add_digits, embedded
from tests.pipeline.test_distributed import distributed, environment
from tests.pipeline.test_rules import reaches
from workers.pipeline import PIPELINE, described

MESSAGES = 240
STOPS = (20, 60, 100, 140)
QUICK = Training(epochs=1)


@pytest.mark.rabbit
async def test_clean_stops_have_nothing_delivered_again(amqp_url: str, bus_prefix: str) -> None:
    """The broker may have assigned a message and not sent it in time: after one stop of four, at most."""
    settled: list[Settlement] = []
    rounds: list[int] = []

    async def work(_: RehearsalRequested) -> AsyncIterator[Message]:
        await asyncio.sleep(0.02)
        return
        yield

    async def note(settlement: Settlement) -> None:
        settled.append(settlement)

    def at_least(number: int) -> bool:
        return len(settled) >= number

    stage = Stage("planning", (RehearsalRequested,), (), work)
    requests = (RehearsalRequested(job="j", id=UUID(int=n + 1)) for n in range(MESSAGES))
    async with RabbitTransport.connect(amqp_url, bus_prefix) as transport:
        await transport.declare(topology([stage]))
        await Bus(transport, "test").publish_all(requests)
        for enough in (*STOPS, MESSAGES):
            async with (
                RabbitTransport.connect(amqp_url, bus_prefix) as own,
                attend(Bus(own, "worker"), [stage], Terms(prefetch=8, observe=note)),
            ):
                await until(partial(at_least, enough))
            rounds.append(len(settled))

    again = [
        any(each.redelivered for each in settled[start:end]) for start, end in pairwise(rounds)
    ]
    assert [each.outcome for each in settled] == ["done"] * MESSAGES
    assert rounds[-2] < MESSAGES, "each stop was one under load"
    assert sum(again) <= 1


async def keep_busy(system: System, lane: str, replaced: asyncio.Event) -> list[Job]:
    """Run one job after the other until all workers are replaced, in turn of both kinds."""
    ended: list[Job] = []
    for number in count():
        if replaced.is_set():
            break
        fit = FitSpec(model="digits", generator="original", data="digits")
        train = RehearsalSpec(model=f"{lane}{number}", new_data="digits", training=QUICK)
        ended.append(await system.run(f"j-{lane}-{number}", train if number % 2 else fit))
    return ended


@pytest.mark.rabbit
@pytest.mark.mongo
@pytest.mark.timeout(240)
async def test_rolling_restart_under_load_fails_no_job(
    amqp_url: str, mongo_url: str, bus_prefix: str, tmp_path: Path
) -> None:
    told = environment(amqp_url, mongo_url, bus_prefix)
    queues = topology(described(PIPELINE, generators.installed())).queues
    folders = [tmp_path / name for name in ("first", "second")]
    replaced = asyncio.Event()
    for folder in folders:
        folder.mkdir()
    async with distributed(amqp_url, mongo_url, bus_prefix) as system, AsyncExitStack() as running:
        await add_digits(system.store, "digits", NAMES[:2])
        (old,) = running.enter_context(workers([PIPELINE], told, folders[0]))
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(keep_busy(system, lane, replaced)) for lane in "ab"]
            starting = workers([PIPELINE], told, folders[1])
            running.callback(starting.__exit__, None, None, None)
            await asyncio.to_thread(starting.__enter__)
            code = await asyncio.to_thread(old.stop)
            replaced.set()
        dead = [(await system.bus.transport.status(queue.name)).dead for queue in queues]

    jobs = [job for lane in lanes for job in lane.result()]
    assert code == 0
    assert [(job.state, job.reason) for job in jobs] == [("completed", "")] * len(jobs)
    assert dead == [0] * len(queues)


async def test_cancelled_training_ends_within_a_slice(tmp_path: Path) -> None:
    async with embedded(tmp_path, slice_s=0.2) as system:
        await add_digits(system.store, "old", NAMES)
        endless = Training(epochs=10_000, patience=10_000)
        spec = RehearsalSpec(model="digits", new_data="old", training=endless)
        job = await system.start("j-endless", spec)
        await reaches(system, job, "training")

        await finish(system.store, job, "cancelled", "not wanted")
        before = (await system.store.tallies(job.id)).get("training.messages", 0)
        await system.run("j-next", RehearsalSpec(model="next", new_data="old", training=QUICK))

        after = (await system.store.tallies(job.id)).get("training.messages", 0)
        assert after - before <= 2  # the slice that ran, and the message that found the job over
