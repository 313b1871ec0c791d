import pytest

from bus.bus import Bus
from bus.errors import Unroutable
from bus.memory import MemoryTransport
from control.verbs import devices, generators, reviews
from control.verbs.errors import Refused
from schemas.documents import JobState, RehearsalSet
from store.base import Store
from store.errors import NotFound
from tests.control.world import DECISIONS, JOB, job, rehearsal, rehearsal_set


async def test_only_what_waits_for_a_person_is_listed(world: Store) -> None:
    await world.insert(job("reviewing"))
    await world.insert(rehearsal_set())
    await world.insert(job("reviewing", "j-policy", spec=rehearsal()))
    await world.insert(job("training", "j-training"))

    [waiting] = await reviews.page(world)

    assert waiting.job.id == JOB
    assert waiting.rehearsal_set.counts == {"0": 5, "1": 4}


@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_is_on_record_and_goes_to_the_review_stage(
    world: Store, bus: Bus, approved: bool
) -> None:
    await world.insert(job("reviewing"))
    await world.insert(rehearsal_set())

    await reviews.decide(world, bus, JOB, approved=approved, reviewer="ada", reason="fine")

    kept = await world.get(RehearsalSet, f"{JOB}.1")
    assert kept.status == ("approved" if approved else "deleted")
    assert (kept.reviewer, kept.reason) == ("ada", "fine")
    assert await bus.transport.depth(DECISIONS) == 1
    assert await reviews.page(world) == []


async def test_a_decision_outlives_a_bus_that_is_down(world: Store) -> None:
    await world.insert(job("reviewing"))
    await world.insert(rehearsal_set())
    nobody = Bus(MemoryTransport(), "test", world)

    with pytest.raises(Unroutable):
        await reviews.decide(world, nobody, JOB, approved=True, reviewer="ada")

    assert (await world.get(RehearsalSet, f"{JOB}.1")).status == "approved"


async def test_the_first_decision_counts_and_the_other_reviewer_is_told(
    world: Store, bus: Bus
) -> None:
    await world.insert(job("reviewing"))
    await world.insert(rehearsal_set())
    await reviews.decide(world, bus, JOB, approved=True, reviewer="ada")

    with pytest.raises(Refused, match="already approved by ada"):
        await reviews.decide(world, bus, JOB, approved=False, reviewer="bob")
    await reviews.decide(world, bus, JOB, approved=True, reviewer="bob")

    assert (await world.get(RehearsalSet, f"{JOB}.1")).reviewer == "ada"
    assert await bus.transport.depth(DECISIONS) == 2


@pytest.mark.parametrize("state", ["submitted", "training", "completed", "rejected"])
async def test_a_job_that_is_not_under_review_cannot_be_decided(
    world: Store, bus: Bus, state: JobState
) -> None:
    await world.insert(job(state))
    with pytest.raises(Refused, match=state):
        await reviews.decide(world, bus, JOB, approved=True, reviewer="ada")
    assert await bus.transport.depth(DECISIONS) == 0


async def test_a_job_that_is_not_there_cannot_be_decided(store: Store, bus: Bus) -> None:
    with pytest.raises(NotFound):
        await reviews.decide(store, bus, "j-nope", approved=True, reviewer="ada")


async def test_what_was_fitted_and_what_devices_run_is_listed_by_model(world: Store) -> None:
    assert [each.id for each in await generators.page(world, model="digits")] == ["gmm-j-made-1"]
    assert await generators.page(world, model="other") == []
    assert [each.id for each in await devices.page(world, model="digits")] == ["pump-7"]
    assert await devices.page(world, model="other") == []
