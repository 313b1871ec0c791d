import asyncio
from collections.abc import AsyncIterator

import pytest

from bus.bus import Bus
from control.verbs.watching import watch
from schemas.documents import Job
from schemas.flow import Progress
from store.base import Store, change
from store.errors import StoreUnavailable
from tests.control.world import JOB, job


def step(state: str, key: str = JOB, done: float = 0) -> Progress:
    return Progress(job=key, stage="training", state=state, done=done, total=10)


async def end(store: Store, state: str) -> None:
    await change(store, Job, JOB, lambda kept: kept.model_copy(update={"state": state}))


async def take(steps: AsyncIterator[Progress]) -> Progress:
    async with asyncio.timeout(20):
        return await anext(steps)


async def test_a_watcher_sees_every_step_until_the_end(world: Store, bus: Bus) -> None:
    await world.insert(job("training"))
    async with watch(bus, world, JOB, check_s=60) as steps:
        await bus.publish(step("training", done=3))
        first = await take(steps)
        await end(world, "completed")
        await bus.publish(step("completed"))
        last = await take(steps)
        with pytest.raises(StopAsyncIteration):
            await take(steps)

    assert (first.state, first.done, last.state) == ("training", 3, "completed")


async def test_another_job_is_not_seen(world: Store, bus: Bus) -> None:
    await world.insert(job("training"))
    async with watch(bus, world, JOB, check_s=60) as steps:
        await bus.publish(step("training", key="j-other"))
        await bus.publish(step("training", done=7))
        assert (await take(steps)).done == 7


async def test_a_lost_end_is_found_in_the_store(world: Store, bus: Bus) -> None:
    await world.insert(job("training"))
    async with watch(bus, world, JOB, check_s=0.01) as steps:
        await end(world, "failed")
        assert (await take(steps)).state == "failed"


async def test_the_end_of_an_earlier_attempt_does_not_end_it(world: Store, bus: Bus) -> None:
    await world.insert(job("submitted", attempt=2))
    async with watch(bus, world, JOB, check_s=60) as steps:
        await bus.publish(step("cancelled"))
        await bus.publish(step("fitting", done=1))
        assert (await take(steps)).state == "fitting"


async def test_an_end_between_subscription_and_first_look_is_seen(world: Store, bus: Bus) -> None:
    await world.insert(job("cancelled", reason="enough"))
    async with watch(bus, world, JOB, check_s=60) as steps:
        last = await take(steps)
    assert (last.state, last.note) == ("cancelled", "enough")


async def test_a_store_that_fails_ends_the_watch_with_its_own_error(
    world: Store, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.insert(job("training"))

    async def unavailable(*_: object) -> Job:
        raise StoreUnavailable("gone")

    async def look() -> None:
        async with watch(bus, world, JOB, check_s=0.01) as steps:
            monkeypatch.setattr(world, "get", unavailable)
            await take(steps)

    with pytest.raises(StoreUnavailable, match="gone"):
        await look()


async def test_what_the_watcher_itself_raises_passes_as_it_is(world: Store, bus: Bus) -> None:
    await world.insert(job("training"))
    with pytest.raises(KeyError, match="mine"):
        async with watch(bus, world, JOB):
            raise KeyError("mine")
