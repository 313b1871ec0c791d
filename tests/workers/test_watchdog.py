"""Every job ends: what is lost is asked for again, what waits is left alone, what cannot go on fails and says why."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus import isolation, rabbit
from bus.bus import Bus
from bus.connect import connect
from bus.errors import BusUnavailable, Busy
from bus.memory import MemoryTransport
from bus.stage import Stage, topology
from bus.transport import DeadLetter, Envelope, QueueStatus, Topology
from schemas.documents import Job, Model
from schemas.flow import ModelReleased, Progress
from schemas.message import JobMessage, Message
from schemas.names import model_of, set_of, work_of
from store.base import Store
from store.jobs import decide, finish
from tests.bus.inbox import until, until_dead
from tests.workers.scene import (
    add_fitted,
    add_job,
    add_set,
    add_version,
    fit,
    is_there,
    job_now,
    plain,
    rehearsal,
    release,
)
from workers.pipeline import PIPELINE, described
from workers.resources import Resources
from workers.watchdog import QUIET_S, TIMES, Watchdog, queues_of
from workers.whereabouts import waits_for_person

STALL_S, DEADLINE_S = 100.0, 50.0
PLANNING = "planning.rehearsal.requested.v1"
TRAINING = "training.training.requested.v1"
STAGES = tuple(described(PIPELINE, ["gmm", "gan"]))


class Counting(MemoryTransport):
    """Counts how often dead letters are read and queues looked into, and refuses the messages of one key."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.looked_into = Counter[str]()
        self.full = ""

    async def status(self, queue: str) -> QueueStatus:
        self.looked_into[queue] += 1
        return await super().status(queue)

    async def send(self, envelope: Envelope) -> None:
        if envelope.key == self.full:
            raise Busy(f"{self.full} is full")
        await super().send(envelope)

    async def dead(
        self, queue: str, limit: int, ids: Sequence[str] | None = None
    ) -> list[DeadLetter]:
        self.readings += 1
        return await super().dead(queue, limit, ids)


@dataclass
class Watch:
    """A watchdog whose time goes by when it is told to."""

    dog: Watchdog
    transport: Counting
    now: float = 1000.0

    async def after(self, *seconds: float) -> None:
        """Sweep after each of these times."""
        for each in seconds:
            self.now += each
            await self.dog.sweep()

    async def stall(self) -> None:
        """See the job, hear nothing, and look once more after the stall time."""
        await self.after(1, QUIET_S, STALL_S)

    async def depth(self, queue: str = TRAINING) -> int:
        return await self.transport.depth(queue)

    async def take(self, queue: str = TRAINING) -> None:
        """Take what waits in a queue, and lose it."""
        taken = asyncio.Event()

        async def lose(delivery: Any) -> None:
            await delivery.ack()
            taken.set()

        async with self.transport.receive(queue, lose, prefetch=1, grace_s=1):
            await taken.wait()


@pytest.fixture
async def watch(store: Store, resources: Resources) -> Watch:
    transport = Counting()
    await transport.declare(topology(STAGES))
    bus = Bus(transport, "test", store)
    dog = Watchdog(bus, resources, STAGES, STALL_S, DEADLINE_S)
    watch = Watch(dog, transport)
    dog.clock = lambda: watch.now
    return watch


def letter(run: str, key: str = "training.requested.v1") -> Envelope:
    headers = {"ce-id": "1", "ce-type": f"io.rdg.{key}", "ce-subject": run}
    return Envelope(key, "1", b"x", headers)


async def bury(transport: MemoryTransport, run: str, reason: str = "unreadable") -> None:
    """Have a message of that run among the dead letters of the training stage."""
    done = asyncio.Event()

    async def give_up(delivery: Any) -> None:
        await delivery.bury(reason, "")
        done.set()

    await transport.send(letter(run))
    async with transport.receive(TRAINING, give_up, prefetch=1, grace_s=1):
        await done.wait()


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


async def test_a_dead_letter_that_no_handler_told_of_fails_its_job(
    store: Store, watch: Watch
) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1", "delivery limit")
    await watch.after(1, QUIET_S)

    job = await job_now(store)
    assert (job.state, job.reason) == ("failed", f"dead letter in {TRAINING}: delivery limit")


@pytest.mark.parametrize("run", ["j-1.1", "j-other.1", ""])
async def test_a_dead_letter_of_another_attempt_or_job_fails_none(
    store: Store, watch: Watch, run: str
) -> None:
    await add_job(store, plain(), state="training", attempt=2)

    await bury(watch.transport, run)
    await watch.after(1, QUIET_S)

    assert (await job_now(store)).state == "training"


async def test_of_several_dead_letters_the_newest_says_why(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1", "unreadable")
    await bury(watch.transport, "j-1.1", "delivery limit")
    await watch.after(1, QUIET_S)

    assert (await job_now(store)).reason == f"dead letter in {TRAINING}: delivery limit"


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


async def test_dead_letters_are_read_when_they_are_others_than_before(
    store: Store, watch: Watch
) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-other.1")
    await watch.after(1, QUIET_S, 1, 1, 1)
    once = watch.transport.readings
    await bury(watch.transport, "j-other.2")
    await watch.after(1, 1)

    assert (once, watch.transport.readings) == (1, 2)


async def test_jobs_that_move_cost_no_look_at_the_bus(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1")
    await watch.after(1)

    assert watch.transport.readings == 0


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


async def test_what_was_kept_after_the_end_is_removed_once_nobody_can_be_at_it(
    store: Store, watch: Watch
) -> None:
    job = await add_job(store, fit(), state="fitting")
    await finish(store, job, "cancelled", "not wanted")
    late = [
        await store.put_part(owner.encode(), owner)
        for owner in (work_of("j-1.1"), set_of("j-1.1"), model_of("j-1.1"), "fitted/gmm-j-1-1")
    ]

    await watch.after(STALL_S, STALL_S)
    assert [await is_there(store, digest) for digest in late] == [True] * 4
    await watch.after(STALL_S)

    assert [await is_there(store, digest) for digest in late] == [False] * 4
    assert (await job_now(store)).leftovers == "none"


async def test_what_a_completed_job_made_is_kept(store: Store, watch: Watch) -> None:
    job = await add_job(store, rehearsal(), state="releasing")
    kept = await add_set(store)
    version = await add_version(store, run="j-1.1")
    fitted = await add_fitted(store, "gmm-j-1-1")
    await finish(store, job, "completed", result=version.id)

    await watch.after(STALL_S, STALL_S, STALL_S)

    made = [part.digest for part in kept.parts] + [part.digest for part in version.parts]
    assert all([await is_there(store, digest) for digest in (*made, fitted.digest)])
    assert (await job_now(store)).leftovers == "none"


async def test_uploads_that_were_begun_a_day_ago_and_never_done_are_removed(
    store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_before = list[datetime]()

    async def drop_unfinished(before: datetime) -> int:
        begun_before.append(before)
        return 0

    monkeypatch.setattr(store, "drop_unfinished", drop_unfinished)

    await watch.after(STALL_S, 1)

    (before,) = begun_before
    assert timedelta(days=1) <= datetime.now(UTC) - before < timedelta(days=1, minutes=5)


async def test_the_newest_release_is_the_last_that_was_published(
    store: Store, watch: Watch
) -> None:
    job = await add_job(store, plain(), state="releasing")
    await add_version(store, 1)
    await add_version(store, 2)
    await finish(store, job, "completed", result="m@1")
    assert (await store.get(Model, "m")).released == 2

    await watch.after(STALL_S, STALL_S, STALL_S)

    async with asyncio.timeout(30), watch.dog.bus.follow(ModelReleased, "m", "newest") as log:
        assert (await anext(log)).manifest.version == 2


async def test_a_release_that_is_still_the_newest_is_not_published_again(
    store: Store, watch: Watch
) -> None:
    job = await add_job(store, plain(), state="releasing")
    version = await add_version(store, 1)
    await release(store, 1)
    await finish(store, job, "completed", result=version.id)

    await watch.after(STALL_S, STALL_S, STALL_S)

    assert watch.transport._logs[f"{ModelReleased.topic}.m"].next_offset == 0


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


def test_dead_letters_of_what_devices_may_publish_are_not_believed() -> None:
    class FromOutside(Message):
        topic = "camera.seen.v1"

    async def handle(_: Message) -> AsyncIterator[Message]:
        return
        yield

    others = [Stage("camera", consumes=(FromOutside,), produces=(), handle=handle)]
    job = Job(id="j-1", token="", model="m", spec=rehearsal(), state="generating")

    names = set(queues_of([*STAGES, *others], job))

    assert not {name for name in names if name.startswith(("camera", "fleet"))}


@pytest.mark.rabbit
async def test_a_message_that_the_broker_set_aside_fails_its_job(
    store: Store,
    resources: Resources,
    amqp_url: str,
    bus_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbit, "HAND_BACK_S", 0.05)
    monkeypatch.setattr(isolation, "PAUSE_S", 0.05)
    await add_job(store, plain(), state="training")
    declared = topology(described(["training"], ()))
    [queue] = declared.queues

    async def die(delivery: Any) -> None:
        raise ArithmeticError("on purpose")

    async with connect(amqp_url, bus_prefix) as transport:
        await transport.declare(Topology((replace(queue, delivery_limit=2),)))
        await transport.send(letter("j-1.1"))
        async with transport.receive(TRAINING, die, prefetch=1, grace_s=5):
            await until_dead(transport, TRAINING, 1)
        bus = Bus(transport, "test", store)
        dog = Watchdog(bus, resources, STAGES, 0.01, DEADLINE_S)
        async with asyncio.timeout(60):
            while not (await job_now(store)).is_over:
                await dog.sweep()

    assert (await job_now(store)).reason.startswith(f"dead letter in {TRAINING}: delivery limit")
