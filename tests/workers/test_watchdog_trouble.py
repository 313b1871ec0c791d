"""The trouble of one job keeps the watchdog from no other, and that of the bus does not end it."""

import asyncio
from collections.abc import Callable

import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable
from bus.memory import MemoryTransport
from bus.stage import topology
from bus.transport import QueueStatus
from schemas.documents import Job
from store.base import Store
from store.jobs import finish
from tests.bus.inbox import until
from tests.workers.scene import add_job, fit, job_now, plain
from tests.workers.watch import DEADLINE_S, PLANNING, STAGES, STALL_S, Watch
from workers.resources import Resources
from workers.watchdog import Watchdog


async def test_the_trouble_of_one_job_does_not_keep_the_dog_from_others(
    store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.insert(Job(id="j-2", token="", model="m", spec=fit(), state="fitting"))
    await add_job(store, plain(), state="training")
    watch.transport.full = "fitting.requested.v1.gmm"

    await watch.stall()

    assert "job j-2: fitting.requested.v1.gmm is full" in caplog.text
    assert await watch.depth() == 1


async def test_a_job_that_cannot_be_read_does_not_keep_the_dog_from_others(
    store: Store,
    watch: Watch,
    sqlite: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await add_job(store, plain(), state="training")
    await store.insert(Job(id="j-2", token="", model="m", spec=plain(), state="training"))
    sqlite("UPDATE documents SET body = json_remove(body, '$.spec') WHERE id = 'j-2'")

    await watch.stall()

    assert "Job 'j-2' cannot be read" in caplog.text
    assert await watch.depth() == 1


async def test_a_job_that_cannot_be_cleared_up_after_does_not_keep_the_dog_from_others(
    store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    job = await add_job(store, plain())
    await finish(store, job, "cancelled")
    without_model = Job(id="j-2", token="", model="absent", spec=plain(), state="releasing")
    await store.insert(without_model)
    await finish(store, without_model, "completed", result="absent@1")

    await watch.after(STALL_S, STALL_S, STALL_S)

    assert "job j-2 cannot be cleared up after: no Model 'absent'" in caplog.text
    assert (await job_now(store)).leftovers == "none"


class Flaky(MemoryTransport):
    """A bus that is away for the first questions."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    async def status(self, queue: str) -> QueueStatus:
        if self.refused < 2:
            self.refused += 1
            raise BusUnavailable("gone for a while")
        return await super().status(queue)


async def test_a_watchdog_outlives_a_bus_that_goes_away(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    transport = Flaky()
    await transport.declare(topology(STAGES))
    await add_job(store, plain())
    dog = Watchdog(Bus(transport, "test", store), resources, STAGES, 0.02, DEADLINE_S)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(dog.run(0.01))
        await until(lambda: transport._queues[PLANNING].waiting.qsize() > 0)
        running.cancel()

    assert caplog.text.count("gone for a while") == 2
