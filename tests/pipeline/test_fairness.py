"""Jobs take turns, and what was lost is made up for. All of it is seen in the order of messages, not by a clock."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bus.bus import Bus
from bus.errors import Busy
from bus.transport import Envelope
from control.verbs.jobs import submit
from schemas.documents import Job, RehearsalSet
from schemas.flow import (
    FLOW,
    GenerationRequested,
    RehearsalRequested,
    RehearsalSetReady,
    SamplesGenerated,
    SamplesLabelled,
    TrainingRequested,
)
from schemas.job import FitSpec, RehearsalSpec
from schemas.message import JobMessage, Message, derived_id
from store.jobs import finish
from tests.pipeline.system import NAMES, System, add_digits, embedded

OLD, NEW = NAMES[:2], NAMES[5:]
ENDLESS = {"training": {"epochs": 10_000, "patience": 10_000}}
WINDOW = 8
HUGE = 200


@dataclass
class Tap:
    """Sees the work of jobs, in the order of publishing; may lose some of it."""

    system: System
    seen: list[JobMessage] = field(default_factory=list)
    asked: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    in_flight: Counter[str] = field(default_factory=Counter)  # most at a time, by job
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    is_lost: Callable[[Message], bool] = lambda _: False

    def count(self, kind: type[JobMessage], job: str) -> int:
        """Messages of that kind on behalf of a job."""
        return sum(isinstance(each, kind) and each.job == job for each in self.seen)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until what was seen makes something so."""
        async with asyncio.timeout(90), self.news:
            await self.news.wait_for(is_so)

    async def note(self, message: Message) -> None:
        """Note a message of a job."""
        if isinstance(message, GenerationRequested):
            shards = self.asked[message.job]
            shards.add(message.order.shard)
            missing = len(shards - await self.system.store.arrived(message.run))
            self.in_flight[message.job] = max(self.in_flight[message.job], missing)
        if isinstance(message, JobMessage):
            async with self.news:
                self.seen.append(message)
                self.news.notify_all()


@asynccontextmanager
async def tapped(folder: Path, **settings: Any) -> AsyncIterator[tuple[System, Tap]]:
    """Run a system whose work is seen, with data and a generator that was fitted on it."""
    async with embedded(folder, **settings) as system:
        tap, transport = Tap(system), system.bus.transport
        reading, send = Bus(transport, "tap", system.store), transport.send

        async def noting(envelope: Envelope) -> None:
            message: Message = await reading.open(envelope, *FLOW)
            if not tap.is_lost(message):
                await send(envelope)
            await tap.note(message)

        transport.send = noting  # type: ignore[method-assign]
        await add_digits(system.store, "old", OLD)
        await add_digits(system.store, "new", NEW)
        await system.run("j-fit", FitSpec(model="digits", generator="original", data="old"))
        yield system, tap


@pytest.fixture(autouse=True)
def _two_samples_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.shards.SHARD_SAMPLES", 2)


def rehearsal(shards: int) -> RehearsalSpec:
    """A job of that many shards, which ends with its review."""
    asked = {
        "model": "digits",
        "new_data": "new",
        "generator": "original",
        "classes": OLD[:1],
        "count": 2 * shards,
        "fit_new": False,
        "review": {"min_count": 1_000_000},
    }
    return RehearsalSpec.model_validate(asked)


async def small_after_huge(folder: Path, window: int) -> tuple[int, int]:
    """Return how far a huge job is when a small one that came later is done, and its most shards in flight."""
    async with tapped(folder, window=window) as (system, tap):
        huge = await system.start("j-huge", rehearsal(HUGE))
        await tap.until(lambda: tap.count(SamplesLabelled, huge.id) >= 10)
        small = await system.start("j-small", rehearsal(1))
        await tap.until(lambda: tap.count(RehearsalSetReady, small.id) == 1)
        done = len(await system.store.arrived(huge.run))
        await finish(system.store, huge, "cancelled", "seen enough")
        return done, tap.in_flight[huge.id]


async def test_a_huge_job_does_not_starve_a_small_one(tmp_path: Path) -> None:
    done, in_flight = await small_after_huge(tmp_path / "window", WINDOW)
    done_without, in_flight_without = await small_after_huge(tmp_path / "none", 10_000)

    assert in_flight <= WINDOW < in_flight_without
    assert done < HUGE / 2 < done_without


async def test_the_window_changes_nothing_in_the_samples(tmp_path: Path) -> None:
    digests = []
    for window in (1, 3, 10_000):
        async with tapped(tmp_path / str(window), window=window) as (system, tap):
            job = await system.run("j-same", rehearsal(20))
            kept = await system.store.get(RehearsalSet, job.run)
            digests.append([part.digest for part in kept.parts])
            assert tap.in_flight[job.id] <= window

    assert digests[0] == digests[1] == digests[2]
    assert len(digests[0]) == 20


@pytest.mark.parametrize("kind", [GenerationRequested, SamplesGenerated, SamplesLabelled])
async def test_lost_shards_are_made_up_for_when_the_job_is_asked_for_again(
    tmp_path: Path, kind: type[Message]
) -> None:
    to_lose = {1, 5}  # the first of one lane, the second of another

    def is_lost(message: Message) -> bool:
        if not isinstance(message, kind):
            return False
        shard = message.model_dump(include={"order"})["order"]["shard"]
        is_its_turn = shard in to_lose
        to_lose.discard(shard)
        return is_its_turn

    async with tapped(tmp_path, window=3) as (system, tap):
        tap.is_lost = is_lost
        job = await system.start("j-lossy", rehearsal(9))
        await arrival_of(system, job.run, {0, 3, 6, 2})
        again = RehearsalRequested(id=derived_id(job.run, "again"), job=job.id)
        await system.bus.publish(again)
        done = await system.over(job.id)
        kept = await system.store.get(RehearsalSet, job.run)

    assert (done.state, len(kept.parts)) == ("rejected", 9)
    assert tap.count(GenerationRequested, job.id) == 9 + len({1, 5})


async def arrival_of(system: System, run: str, shards: set[int]) -> None:
    """Wait until these shards, and no others, are in."""
    async with asyncio.timeout(60):
        while await system.store.arrived(run) != shards:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.02)


async def submit_twenty(system: System, accepted: list[str]) -> None:
    for seed in range(20):
        spec = rehearsal(1).model_copy(update={"seed": seed})
        accepted.append((await submit(system.store, system.bus, spec)).id)


async def test_more_jobs_than_may_wait_are_refused_and_those_that_wait_get_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.planning.SUBMITTED_LIMIT", 3)
    async with tapped(tmp_path, active_jobs=1, prefetch=1) as (system, tap):
        endless = RehearsalSpec.model_validate({"model": "other", "new_data": "new", **ENDLESS})
        first = await submit(system.store, system.bus, endless)
        await tap.until(lambda: tap.count(TrainingRequested, first.id) == 1)
        accepted: list[str] = []
        with pytest.raises(Busy, match="jobs wait for their turn, as many as may"):
            await submit_twenty(system, accepted)
        waiting = await system.store.count(Job, state="submitted")
        await finish(system.store, first, "cancelled", "seen enough")
        ended = [await system.over(key) for key in accepted]

    assert 3 <= len(accepted) == waiting < 20
    assert {job.state for job in ended} == {"rejected"}


async def test_two_jobs_in_training_take_turns_slice_by_slice(tmp_path: Path) -> None:
    async with tapped(tmp_path, slice_s=0.05) as (system, tap):
        both = ("j-one", "j-two")
        for name in ("one", "two"):
            spec = RehearsalSpec.model_validate({"model": name, "new_data": "new", **ENDLESS})
            await system.start(f"j-{name}", spec)
        await tap.until(lambda: all(tap.count(TrainingRequested, job) > 6 for job in both))
        turns = [each.job for each in tap.seen if isinstance(each, TrainingRequested)]
        for job in both:
            ended = await system.store.get(Job, job)
            await finish(system.store, ended, "cancelled", "seen enough")

    begun = max(turns.index(job) for job in both)
    assert all(one != other for one, other in zip(turns[begun:], turns[begun + 1 :], strict=False))
