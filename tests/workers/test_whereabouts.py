"""A job goes on from where it stands, and one that stands still too often has failed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable, Busy
from bus.memory import MemoryTransport
from bus.stage import topology
from bus.transport import Envelope, Topology
from schemas.documents import Checkpoint, Job, RehearsalSet, Resumption
from schemas.flow import (
    FittingRequested,
    GeneratorFitted,
    ModelTrained,
    RehearsalRequested,
    RehearsalSetReady,
    ReviewDecided,
    TrainingRequested,
)
from schemas.message import JobMessage
from store.base import Store
from store.jobs import decide
from tests.workers.scene import (
    ABSENT,
    KNOWN,
    add_job,
    add_set,
    add_version,
    fit,
    job_now,
    plain,
    rehearsal,
)
from workers.pipeline import PIPELINE, described
from workers.whereabouts import RESTARTS, ask_again, ask_for_all, standing, whereabouts

LEFT = Checkpoint(slice=7, digest=ABSENT, left_by=UUID(int=1))
TRAINING = "training.training.requested.v1"
READY = "review.rehearsal.set.ready.v1"


@pytest.fixture
async def bus(store: Store) -> Bus:
    transport = MemoryTransport()
    await transport.declare(topology(described(PIPELINE, ["gmm"])))
    return Bus(transport, "test", store)


async def stands(store: Store, **fields: Any) -> JobMessage:
    job = await add_job(store, **{"spec": plain(), "attempt": 2, **fields})
    return await whereabouts(store, job)


async def test_a_job_that_nobody_began_is_requested(store: Store) -> None:
    assert await stands(store) == RehearsalRequested(job="j-1", attempt=2)


async def test_fitting_goes_on_from_its_newest_checkpoint(store: Store) -> None:
    stand = await stands(store, spec=fit(), state="fitting", checkpoint=LEFT)

    expected = {"generator": "gmm", "slice": 7, "checkpoint": ABSENT}
    assert stand == FittingRequested.model_validate({"job": "j-1", "attempt": 2, **expected})


@pytest.mark.parametrize("state", ["training", "releasing"])
async def test_training_goes_on_from_its_newest_checkpoint(store: Store, state: str) -> None:
    stand = await stands(store, state=state, checkpoint=LEFT)

    assert stand == TrainingRequested(job="j-1", attempt=2, slice=7, checkpoint=ABSENT)


async def test_training_without_a_checkpoint_begins(store: Store) -> None:
    assert await stands(store, state="training") == TrainingRequested(job="j-1", attempt=2)


async def test_generating_goes_on_with_the_base_and_the_fits_that_were_chosen(store: Store) -> None:
    fitted = dict.fromkeys(KNOWN, ("gmm-earlier",))

    stand = await stands(store, spec=rehearsal(), state="generating", fitted=fitted, base=1)

    assert stand == GeneratorFitted(job="j-1", attempt=2, fitted="gmm-earlier")


async def test_a_set_without_a_decision_is_announced(store: Store) -> None:
    kept = await add_set(store, run="j-1.2")

    stand = await stands(store, spec=rehearsal(), state="reviewing")

    assert isinstance(stand, RehearsalSetReady)
    assert (stand.attempt, stand.counts, stand.balance) == (2, kept.counts, kept.balance)
    assert stand.likeness == kept.likeness != {}


@pytest.mark.parametrize("approved", [True, False])
async def test_a_decision_that_nobody_carried_out_is_not_lost(store: Store, approved: bool) -> None:
    await add_set(store, run="j-1.2")
    await decide(store, "j-1.2", approved=approved, reviewer="ada", reason="seen")

    stand = await stands(store, spec=rehearsal(), state="reviewing")

    said = {"approved": approved, "reviewer": "ada", "reason": "seen"}
    assert stand == ReviewDecided.model_validate({"job": "j-1", "attempt": 2, **said})


async def test_a_candidate_on_record_is_not_trained_again(store: Store) -> None:
    version = await add_version(store, run="j-1.2", status="candidate")

    stand = await stands(store, state="releasing", checkpoint=LEFT)

    assert isinstance(stand, ModelTrained)
    assert (stand.job, stand.attempt, stand.parts) == ("j-1", 2, version.parts)


async def test_a_shard_that_arrives_is_progress(store: Store) -> None:
    job = await add_job(store, rehearsal(), state="generating")
    before = await standing(store, job)

    await store.arrive(job.run, 3, "shard", 9)

    assert (before, await standing(store, job)) == (
        "generating, 0 shards in",
        "generating, 1 shards in",
    )


async def test_a_job_that_does_not_move_is_asked_for_so_often_and_then_fails(
    store: Store, bus: Bus
) -> None:
    await add_job(store, plain(), state="training", checkpoint=LEFT)

    for _ in range(3):
        await ask_again(store, bus, await job_now(store), most=2)

    job = await job_now(store)
    assert await bus.transport.depth(TRAINING) == 2
    assert job.state == "failed"
    assert job.reason == "asked for again 2 times, it got no further than: training, slice 7"


@pytest.mark.parametrize("refusal", [Busy("full"), BusUnavailable("gone")])
async def test_what_the_bus_does_not_take_is_not_counted(store: Store, refusal: Exception) -> None:
    class Refusing(MemoryTransport):
        async def send(self, envelope: Envelope) -> None:
            raise refusal

    before = Resumption(at="training", count=1)
    await add_job(store, plain(), state="training", resumed=before)

    for _ in range(3):
        with pytest.raises(type(refusal)):
            await ask_again(store, Bus(Refusing(), "test", store), await job_now(store), most=2)

    job = await job_now(store)
    assert (job.state, job.resumed) == ("training", before)


async def test_each_time_is_another_message(store: Store) -> None:
    ids = set()

    class Noting(MemoryTransport):
        async def send(self, envelope: Envelope) -> None:
            ids.add(envelope.id)

    await add_job(store, plain(), state="training")
    for _ in range(3):
        await ask_again(store, Bus(Noting(), "test", store), await job_now(store), most=9)

    assert len(ids) == 3


async def test_a_job_that_moved_is_counted_anew(store: Store, bus: Bus) -> None:
    resumed = Resumption(at="training, slice 6", count=2)
    await add_job(store, plain(), state="training", checkpoint=LEFT, resumed=resumed)

    await ask_again(store, bus, await job_now(store), most=2)

    now = await job_now(store)
    assert now.state == "training"
    assert now.resumed == Resumption(at="training, slice 7", count=1)


async def test_of_several_that_ask_at_once_one_does(store: Store, bus: Bus) -> None:
    seen = await add_job(store, plain(), state="training")

    for _ in range(3):
        await ask_again(store, bus, seen, most=1)

    assert await bus.transport.depth(TRAINING) == 1
    assert (await job_now(store)).state == "training"


@pytest.mark.parametrize("mode", ["policy", "manual"])
async def test_a_job_whose_set_is_gone_fails_with_what_is_missing(
    store: Store, bus: Bus, mode: str
) -> None:
    await add_job(store, rehearsal(review={"mode": mode}), state="reviewing")

    await ask_for_all(store, bus)

    job = await job_now(store)
    assert (job.state, job.reason) == ("failed", "no RehearsalSet 'j-1.1' in the store")


async def test_a_job_that_ends_the_process_each_time_fails_in_the_end(
    store: Store, bus: Bus
) -> None:
    await add_job(store, plain(), state="training")

    for _ in range(RESTARTS + 1):
        await ask_for_all(store, bus)

    assert await bus.transport.depth(TRAINING) == RESTARTS
    assert (await job_now(store)).state == "failed"


async def test_a_job_whose_generator_is_no_longer_installed_fails_and_keeps_nobody_from_starting(
    store: Store, bus: Bus
) -> None:
    await add_job(store, fit(generator="removed"), state="fitting")

    await ask_for_all(store, bus)

    job = await job_now(store)
    assert job.state == "failed"
    assert job.reason.startswith("no queue takes 'fitting.requested.v1.removed'")


async def test_no_job_is_always_met_before_the_others(store: Store) -> None:
    firsts = set()

    class Noting(MemoryTransport):
        async def send(self, envelope: Envelope) -> None:
            order.append(envelope.headers["ce-subject"])

    await add_job(store, plain(), state="training")
    await store.insert(Job(id="j-2", token="", model="m", spec=plain(), state="training"))
    for _ in range(RESTARTS):
        order: list[str] = []
        await ask_for_all(store, Bus(Noting(), "test", store))
        firsts.add(order[0])

    assert firsts == {"j-1.1", "j-2.1"}


async def test_jobs_that_a_queue_has_no_room_for_keep_nobody_from_starting(store: Store) -> None:
    transport = MemoryTransport()
    queues = topology(described(PIPELINE, ["gmm"])).queues
    await transport.declare(Topology(tuple(replace(queue, limit=1) for queue in queues)))
    for key in ("j-1", "j-2"):
        await store.insert(Job(id=key, token=key, model="m", spec=plain()))

    await ask_for_all(store, Bus(transport, "test", store))

    assert await transport.depth("planning.rehearsal.requested.v1") == 1


async def test_a_job_of_which_something_is_damaged_keeps_nobody_from_starting(
    store: Store, bus: Bus, sqlite: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    await add_job(store, rehearsal(), state="reviewing")
    await add_set(store)
    await store.insert(Job(id="j-2", token="", model="m", spec=plain(), state="training"))
    await store.insert(Job(id="j-3", token="j-3", model="m", spec=plain(), state="training"))
    sqlite("UPDATE documents SET body = '{}' WHERE id = 'j-1.1'")
    sqlite("UPDATE documents SET body = json_remove(body, '$.spec') WHERE id = 'j-3'")

    await ask_for_all(store, bus)

    assert await bus.transport.depth(TRAINING) == 1
    assert "job j-1 is not asked for yet: RehearsalSet 'j-1.1' cannot be read" in caplog.text
    assert "Job 'j-3' cannot be read" in caplog.text


async def test_a_job_that_waits_for_a_person_or_its_turn_survives_any_number_of_restarts(
    store: Store, bus: Bus
) -> None:
    await add_job(store, rehearsal(review={"mode": "manual"}), state="reviewing")
    kept = await add_set(store)
    await store.insert(Job(id="j-2", token="", model="m", spec=plain()))

    for _ in range(RESTARTS + 1):
        await ask_for_all(store, bus)

    assert await bus.transport.depth(READY) == RESTARTS + 1
    assert (await job_now(store)).state == "reviewing"
    assert (await store.get(Job, "j-2")).state == "submitted"
    assert (await store.get(RehearsalSet, kept.id)).status == "collected"
