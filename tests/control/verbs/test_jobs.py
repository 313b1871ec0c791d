import asyncio

import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable, Busy, Unroutable
from bus.memory import MemoryTransport
from bus.transport import Delivery, Envelope, Queue, Topology
from control.verbs import jobs
from control.verbs.errors import Invalid, Refused
from schemas.documents import Job, JobState
from schemas.flow import RehearsalRequested
from schemas.message import derived_id
from store.base import Store
from store.errors import NotFound
from tests.control.world import JOB, QUEUES, REQUESTS, job, rehearsal


class Broken(MemoryTransport):
    """A bus that is down."""

    async def send(self, envelope: Envelope) -> None:
        raise BusUnavailable("the broker is gone")

    async def append(self, envelope: Envelope) -> None:
        raise BusUnavailable("the broker is gone")


async def test_a_job_is_kept_and_asked_for(world: Store, bus: Bus) -> None:
    made = await jobs.submit(world, bus, rehearsal())

    assert (await jobs.show(world, made.id)).job.state == "submitted"
    assert made.id.startswith("j-")
    assert len(made.id) == 14
    assert await bus.transport.depth(REQUESTS) == 1


async def test_a_request_that_does_not_fit_leaves_nothing(world: Store, bus: Bus) -> None:
    with pytest.raises(Invalid):
        await jobs.submit(world, bus, rehearsal(new_data="nope"), "once")

    assert await jobs.page(world) == []
    assert await bus.transport.depth(REQUESTS) == 0


async def test_a_token_makes_one_job_however_often_it_is_submitted(world: Store, bus: Bus) -> None:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(jobs.submit(world, bus, rehearsal(), "once")) for _ in range(5)]

    assert len({task.result().id for task in made}) == 1
    assert len(await jobs.page(world)) == 1


async def test_repeated_requests_are_told_apart_by_nobody(world: Store, bus: Bus) -> None:
    ids = []
    transport = bus.transport
    send = transport.send

    async def noting(envelope: Envelope) -> None:
        ids.append(envelope.id)
        await send(envelope)

    transport.send = noting  # type: ignore[method-assign]
    first = await jobs.submit(world, bus, rehearsal(), "once")
    await jobs.submit(world, bus, rehearsal(), "once")

    assert ids == [str(derived_id(first.run))] * 2


async def test_a_token_of_another_request_is_refused(world: Store, bus: Bus) -> None:
    await jobs.submit(world, bus, rehearsal(), "once")
    with pytest.raises(Refused, match="'once'"):
        await jobs.submit(world, bus, rehearsal(seed=1), "once")


async def test_a_job_under_way_is_not_asked_for_again(world: Store, bus: Bus) -> None:
    made = await jobs.submit(world, bus, rehearsal(), "once")
    await world.replace(made.model_copy(update={"state": "training"}))

    again = await jobs.submit(world, bus, rehearsal(), "once")

    assert again.state == "training"
    assert await bus.transport.depth(REQUESTS) == 1


async def test_a_job_that_cannot_be_asked_for_has_failed(world: Store) -> None:
    with pytest.raises(BusUnavailable) as raised:
        await jobs.submit(world, Bus(Broken(), "test", world), rehearsal())

    [kept] = await jobs.page(world)
    assert kept.state == "failed"
    assert "the broker is gone" in kept.reason
    assert f"rdg job retry {kept.id}" in "".join(raised.value.__notes__)


async def acknowledge(delivery: Delivery) -> None:
    await delivery.ack()


async def test_where_no_room_is_left_nothing_is_kept_and_the_same_may_be_submitted_later(
    world: Store,
) -> None:
    queue = Queue(REQUESTS, RehearsalRequested.topic, limit=1)
    bus = Bus(MemoryTransport(), "test", world)
    await bus.transport.declare(Topology((queue,)))
    first = await jobs.submit(world, bus, rehearsal())

    with pytest.raises(Busy, match="1 jobs wait for their turn, as many as may; nothing was"):
        await jobs.submit(world, bus, rehearsal(), "mine")
    assert [kept.id for kept in await jobs.page(world)] == [first.id]

    async with bus.transport.receive(REQUESTS, acknowledge, prefetch=1, grace_s=5):
        async with asyncio.timeout(30):
            while await bus.transport.depth(REQUESTS):  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0)
    again = await jobs.submit(world, bus, rehearsal(), "mine")
    assert (again.state, again.token) == ("submitted", "mine")


async def test_a_retry_for_which_no_room_is_left_may_be_retried(world: Store) -> None:
    bus = Bus(MemoryTransport(), "test", world)
    await bus.transport.declare(Topology((Queue(REQUESTS, RehearsalRequested.topic, limit=0),)))
    await world.insert(job("failed"))

    with pytest.raises(Busy):
        await jobs.retry(world, bus, JOB)

    assert (await world.get(Job, JOB)).state == "failed"


async def test_without_workers_a_job_fails_at_once(world: Store) -> None:
    with pytest.raises(Unroutable):
        await jobs.submit(world, Bus(MemoryTransport(), "test", world), rehearsal())
    assert [kept.state for kept in await jobs.page(world)] == ["failed"]


async def test_jobs_are_found_by_state_and_by_page(world: Store) -> None:
    states: tuple[JobState, ...] = ("failed", "training", "failed")
    for number, state in enumerate(states):
        await world.insert(job(state, f"j-{number}"))

    failed = await jobs.page(world, state="failed")
    rest = await jobs.page(world, before=failed[0].id, state="failed")

    assert [each.id for each in failed] == ["j-2", "j-0"]
    assert [each.id for each in rest] == ["j-0"]
    with pytest.raises(Invalid, match="limit"):
        await jobs.page(world, 0)


async def test_a_job_is_shown_with_its_costs(world: Store) -> None:
    await world.insert(job("training"))
    await world.tally(JOB, {"fitting.seconds": 1.5})
    await world.tally(JOB, {"fitting.seconds": 1.0})

    assert (await jobs.show(world, JOB)).tallies == {"fitting.seconds": 2.5}


@pytest.mark.parametrize("state", ["submitted", "fitting", "generating", "reviewing", "training"])
async def test_a_running_job_can_be_cancelled(world: Store, bus: Bus, state: JobState) -> None:
    await world.insert(job(state))
    ended = await jobs.cancel(world, bus, JOB)
    assert ended.state == "cancelled"
    assert (await world.get(Job, JOB)).state == "cancelled"


async def test_cancelling_works_while_the_bus_is_down(world: Store) -> None:
    await world.insert(job("training"))
    ended = await jobs.cancel(world, Bus(Broken(), "test", world), JOB)
    assert ended.state == "cancelled"


@pytest.mark.parametrize("state", ["completed", "failed", "rejected"])
async def test_what_is_over_cannot_be_cancelled(world: Store, bus: Bus, state: JobState) -> None:
    await world.insert(job(state))
    with pytest.raises(Refused, match=f"already {state}"):
        await jobs.cancel(world, bus, JOB)
    assert (await world.get(Job, JOB)).state == state


@pytest.mark.parametrize("state", ["failed", "cancelled", "rejected"])
async def test_a_retry_is_a_new_attempt_from_the_start(
    world: Store, bus: Bus, state: JobState
) -> None:
    await world.insert(job(state, reason="no luck", fitted={"0": ("gmm-j-made-1",)}, base=1))

    again = await jobs.retry(world, bus, JOB)

    assert (again.state, again.attempt, again.reason) == ("submitted", 2, "")
    assert (again.fitted, again.base) == ({}, None)
    assert await bus.transport.depth(REQUESTS) == 1


@pytest.mark.parametrize("state", ["completed", "training", "reviewing"])
async def test_only_what_ended_without_a_result_is_retried(
    world: Store, bus: Bus, state: JobState
) -> None:
    await world.insert(job(state))
    with pytest.raises(Refused, match=state):
        await jobs.retry(world, bus, JOB)
    assert (await world.get(Job, JOB)).attempt == 1
    assert await bus.transport.depth(REQUESTS) == 0


async def test_a_retry_that_cannot_be_asked_for_may_be_retried(world: Store, bus: Bus) -> None:
    await world.insert(job("failed"))
    with pytest.raises(BusUnavailable):
        await jobs.retry(world, Bus(Broken(), "test", world), JOB)
    assert (await world.get(Job, JOB)).state == "failed"

    assert (await jobs.retry(world, bus, JOB)).attempt == 3


async def test_a_retry_whose_data_is_gone_changes_nothing(world: Store, bus: Bus) -> None:
    await world.insert(job("failed", spec=rehearsal(new_data="gone")))
    with pytest.raises(Invalid, match="new_data"):
        await jobs.retry(world, bus, JOB)
    assert (await world.get(Job, JOB)).state == "failed"


async def test_waiting_for_a_job_that_is_over_ends_at_once(world: Store, bus: Bus) -> None:
    await world.insert(job("completed"))
    assert (await jobs.wait(world, bus, JOB, timeout_s=20)).state == "completed"


async def test_waiting_ends_at_its_timeout_and_leaves_the_job_alone(world: Store, bus: Bus) -> None:
    await world.insert(job("training"))
    with pytest.raises(TimeoutError, match=r"not over after 0\.05 s"):
        await jobs.wait(world, bus, JOB, timeout_s=0.05)
    assert (await world.get(Job, JOB)).state == "training"


async def test_waiting_for_a_job_that_is_not_there_is_an_error(store: Store, bus: Bus) -> None:
    with pytest.raises(NotFound):
        await jobs.wait(store, bus, "j-nope")


async def test_the_wire_carries_what_workers_expect(world: Store, bus: Bus) -> None:
    await bus.transport.declare(QUEUES)  # declaring again changes nothing
    made = await jobs.submit(world, bus, rehearsal(generator="gmm", classes=("0",)))
    assert made.rehearsal.options == {}
