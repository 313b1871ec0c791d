"""Every job ends: what is lost is asked for again, what waits is left alone, what cannot go on fails and says why."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bus.bus import Bus
from bus.stage import Stage, topology
from schemas.documents import Job
from schemas.flow import Progress
from schemas.message import JobMessage, Message
from store.base import Store
from store.jobs import decide
from tests.workers.scene import add_fitted, add_job, add_set, job_now, plain, rehearsal
from tests.workers.watch import (
    DEADLINE_S,
    PLANNING,
    STAGES,
    STALL_S,
    TRAINING,
    Counting,
    Watch,
    letter,
)
from workers.resources import Resources
from workers.watchdog import QUIET_S, TIMES, Watchdog, queues_of
from workers.whereabouts import waits_for_person


async def test_a_job_that_was_lost_is_asked_for_again(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await watch.stall()

    assert await watch.depth() == 1
    assert (await job_now(store)).state == "training"


async def test_a_job_is_given_its_time(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await watch.after(1, QUIET_S, STALL_S - QUIET_S - 1)

    assert await watch.depth() == 0


@pytest.mark.parametrize("sign", ["tally", "revision"])
async def test_a_sign_of_life_is_progress(store: Store, watch: Watch, sign: str) -> None:
    job = await add_job(store, plain(), state="training")

    await watch.after(1, QUIET_S)
    if sign == "tally":
        await store.tally(job.id, {"training.messages": 1})
    else:
        await store.replace(job)
    await watch.after(STALL_S, QUIET_S)

    assert await watch.depth() == 0


async def test_a_queue_that_was_never_empty_may_hold_the_job(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")
    await watch.transport.send(letter("j-other.1"))

    await watch.after(1, QUIET_S, STALL_S, STALL_S)
    assert await watch.depth() == 1
    await watch.take()
    await watch.after(1, 1)

    assert await watch.depth() == 1


async def test_load_on_other_queues_does_not_hide_a_loss(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")
    await watch.transport.send(letter("j-other.1", "rehearsal.requested.v1"))

    await watch.stall()

    assert await watch.depth() == 1


async def test_a_job_that_does_not_move_fails_after_the_last_handler_had_its_time(
    store: Store, watch: Watch
) -> None:
    await add_job(store, plain(), state="training")

    for _ in range(TIMES):
        await watch.stall()
        await watch.take()
    await watch.after(1, QUIET_S, STALL_S)
    before = await job_now(store)
    await watch.after(DEADLINE_S)

    assert before.state == "training"
    job = await job_now(store)
    assert (job.state, job.leftovers) == ("failed", "possible")
    assert job.reason == f"asked for again {TIMES} times, it got no further than: training"


async def test_who_watches_is_told_how_it_ended(store: Store, watch: Watch) -> None:
    await add_job(store, plain(deadline_s=60), asked=datetime.now(UTC) - timedelta(minutes=2))

    await watch.after(1)

    async with asyncio.timeout(30), watch.dog.bus.follow(Progress, since="first") as progress:
        news = await anext(progress)
    assert (news.job, news.state, news.stage) == ("j-1", "failed", "watchdog")


async def test_a_job_that_was_never_requested_is_requested_soon(store: Store, watch: Watch) -> None:
    await add_job(store, plain())

    await watch.after(1, QUIET_S, 1)

    assert await watch.depth(PLANNING) == 1


async def test_a_job_that_waits_for_its_turn_is_left_alone(store: Store, watch: Watch) -> None:
    watch.dog.resources = replace(watch.dog.resources, active_jobs=1)
    await add_job(store, plain(), state="training")
    await store.insert(Job(id="j-2", token="", model="m", spec=plain()))

    await watch.stall()

    assert await watch.depth(PLANNING) == 0


async def test_a_job_that_waits_for_its_review_takes_no_turn(store: Store, watch: Watch) -> None:
    watch.dog.resources = replace(watch.dog.resources, active_jobs=1)
    await add_job(store, rehearsal(review={"mode": "manual"}), state="reviewing")
    await add_set(store)
    await store.insert(Job(id="j-2", token="", model="m", spec=plain()))

    await watch.after(1, QUIET_S, 1)

    assert await watch.depth(PLANNING) == 1


async def test_a_job_that_waits_for_a_person_is_looked_at_once_in_the_stall_time(
    store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Job]()

    async def noted(store: Store, job: Job) -> bool:
        asked.append(job)
        return await waits_for_person(store, job)

    monkeypatch.setattr("workers.watchdog.waits_for_person", noted)
    await add_job(store, rehearsal(review={"mode": "manual"}), state="reviewing")
    await add_set(store)

    await watch.stall()
    await watch.after(*[QUIET_S] * 5)

    assert len(asked) == 1


async def test_a_job_that_waits_for_a_person_is_left_alone(store: Store, watch: Watch) -> None:
    await add_job(store, rehearsal(review={"mode": "manual"}), state="reviewing")
    await add_set(store)

    for _ in range(2 * TIMES):
        await watch.stall()

    assert await watch.depth("review.rehearsal.set.ready.v1") == 0
    assert (await job_now(store)).state == "reviewing"


async def test_a_decision_that_was_never_published_is_carried_out(
    store: Store, watch: Watch
) -> None:
    await add_job(store, rehearsal(review={"mode": "manual"}), state="reviewing")
    await add_set(store)
    await decide(store, "j-1.1", approved=True, reviewer="ada", reason="")

    await watch.stall()

    assert await watch.depth("review.review.decided.v1") == 1


@pytest.mark.parametrize("state", ["submitted", "generating", "reviewing", "training"])
async def test_a_job_past_its_deadline_fails(store: Store, watch: Watch, state: str) -> None:
    asked = datetime.now(UTC) - timedelta(seconds=61)
    await add_job(store, rehearsal(deadline_s=60), state=state, asked=asked)

    await watch.after(1)

    job = await job_now(store)
    assert job.state == "failed"
    assert job.reason == f"deadline: not over 60 s after it was asked for; it was {state}"


async def test_a_job_without_a_deadline_has_that_of_the_settings(
    store: Store, watch: Watch
) -> None:
    asked = datetime.now(UTC) - timedelta(seconds=61)
    await add_job(store, plain(), asked=asked)
    await watch.after(1)
    assert (await job_now(store)).state == "submitted"

    watch.dog.resources = replace(watch.dog.resources, job_deadline_s=60)
    await watch.after(1)

    assert (await job_now(store)).state == "failed"


async def test_a_release_that_has_begun_is_not_cut_off(store: Store, watch: Watch) -> None:
    asked = datetime.now(UTC) - timedelta(seconds=61)
    await add_job(store, plain(deadline_s=60), state="releasing", asked=asked)

    await watch.after(1)

    assert (await job_now(store)).state == "releasing"


async def test_a_queue_that_nobody_ever_attended_holds_nothing(
    store: Store, resources: Resources
) -> None:
    transport = Counting()
    attended = [each for each in STAGES if each.name != "labelling"]
    await transport.declare(topology(attended))
    dog = Watchdog(Bus(transport, "test", store), resources, STAGES, STALL_S, DEADLINE_S)
    watch = Watch(dog, transport)
    dog.clock = lambda: watch.now
    fitted = (await add_fitted(store)).id
    await add_job(store, rehearsal(), state="generating", fitted={"ant": (fitted,)})

    await watch.stall()

    assert await watch.depth("planning.generator.fitted.v1") == 1


async def test_a_queue_is_looked_into_once_for_all_jobs(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")
    await store.insert(Job(id="j-2", token="", model="m", spec=plain(), state="training"))

    await watch.after(1, QUIET_S)

    assert watch.transport.looked_into == {TRAINING: 1}


def test_a_job_waits_in_the_queues_of_its_own_generator() -> None:
    job = Job(id="j-1", token="", model="m", spec=rehearsal(generator="gan"), state="generating")

    names = set(queues_of(STAGES, job))

    assert "generation.generation.requested.v1.gan" in names
    assert "prediction.samples.generated.v1" in names
    assert not {name for name in names if name.endswith(".gmm") or name.startswith("training")}


def test_a_job_may_wait_in_the_queues_of_stages_that_were_added() -> None:
    class Blurred(JobMessage):
        topic = "samples.blurred.v1"

    async def handle(_: Blurred) -> AsyncIterator[Message]:
        return
        yield

    added = Stage("sharpening", consumes=(Blurred,), produces=(), handle=handle)
    job = Job(id="j-1", token="", model="m", spec=rehearsal(), state="generating")

    assert "sharpening.samples.blurred.v1" in set(queues_of([*STAGES, added], job))
