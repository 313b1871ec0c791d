"""What holds for every job, whatever its generator: determinism, review, gates, cancelling, bad requests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.verbs.jobs import cancel, retry
from schemas.documents import Job, Model, ModelVersion, RehearsalSet
from schemas.flow import ModelReleased, Progress, RehearsalRequested, ReviewDecided
from schemas.job import FitSpec, Gates, RehearsalSpec, Training
from schemas.message import derived_id
from schemas.names import set_of, work_of
from store.jobs import finish
from tests.pipeline.system import NAMES, System, add_digits, embedded
from workers.process import resume

OLD, NEW = NAMES[:5], NAMES[5:]
QUICK = Training(epochs=3)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with embedded(tmp_path) as running:
        await prepare(running)
        yield running


async def prepare(system: System) -> None:
    """Train a first model on the old digits and fit a generator on them."""
    await add_digits(system.store, "old", OLD)
    await add_digits(system.store, "new", NEW)
    first = RehearsalSpec(model="digits", new_data="old", training=QUICK)
    await system.run("j-first", first)
    await system.run("j-fit", FitSpec(model="digits", generator="gmm", data="old"))


def rehearsal(**changes: object) -> RehearsalSpec:
    asked = {
        "model": "digits",
        "new_data": "new",
        "generator": "gmm",
        "classes": OLD,
        "count": 20,
        "training": QUICK,
        "filter": {"min_confidence": 0.0},
        **changes,
    }
    return RehearsalSpec.model_validate(asked)


async def outcome(folder: Path, **settings: object) -> tuple[list[str], list[str]]:
    """Return the digests of the samples and of the weights that the same job gives."""
    async with embedded(folder, **settings) as system:
        await prepare(system)
        job = await system.run("j-same", rehearsal(seed=7))
        kept = await system.store.get(RehearsalSet, job.run)
        version = await system.store.get(ModelVersion, str(job.result))
        return [part.digest for part in kept.parts], [part.digest for part in version.parts]


async def test_the_same_job_with_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    whole = await outcome(tmp_path / "a", prefetch=1, slice_s=60)
    sliced = await outcome(tmp_path / "b", prefetch=8, slice_s=0.05, inline_bytes=1024)

    assert whole == sliced


async def test_another_seed_gives_other_samples(system: System) -> None:
    one = await system.run("j-one", rehearsal(seed=1, release=False))
    two = await system.run("j-two", rehearsal(seed=2, release=False))

    first = await system.store.get(RehearsalSet, one.run)
    second = await system.store.get(RehearsalSet, two.run)
    assert {part.digest for part in first.parts}.isdisjoint(part.digest for part in second.parts)


@pytest.mark.parametrize("generator", ["original", "mix"])
async def test_each_stored_original_is_rehearsed_once_however_many_are_asked_for(
    system: System, generator: str
) -> None:
    options = {"budget_kb": 8, "compress": False}  # 128 originals of 64 bytes, or half of that
    fit = FitSpec(model="digits", generator=generator, data="old", options=options)
    await system.run("j-kept", fit)
    asked = {"generator": generator, "options": options, "count": 1200, "fit_new": False}

    job = await system.run("j-all", rehearsal(**asked))

    kept = await system.store.get(RehearsalSet, job.run)
    assert not any(kept.duplicates.values())
    assert all(
        count > 128 if generator == "mix" else count == 128 for count in kept.counts.values()
    )


async def test_a_request_delivered_twice_changes_nothing(system: System) -> None:
    job = await system.start("j-twice", rehearsal())
    again = RehearsalRequested(id=derived_id(job.run, "again"), job=job.id)
    await system.bus.publish(again)

    done = await system.over("j-twice")

    assert (done.state, done.reason) == ("completed", "")
    assert len(await system.store.find(ModelVersion, run=job.run)) == 1


async def test_a_person_approves_and_training_starts(system: System) -> None:
    job = await system.start("j-manual", rehearsal(review={"mode": "manual"}))
    await reaches(system, job, "reviewing")

    await system.bus.publish(ReviewDecided(job=job.id, approved=True, reviewer="ada"))

    done = await system.over(job.id)
    assert done.state == "completed"
    version = await system.store.get(ModelVersion, str(done.result))
    assert version.provenance.reviewer == "ada"


async def test_rejecting_a_set_deletes_its_data(system: System) -> None:
    job = await system.start("j-manual", rehearsal(review={"mode": "manual"}))
    await reaches(system, job, "reviewing")

    decision = ReviewDecided(job=job.id, approved=False, reviewer="ada", reason="blurred")
    await system.bus.publish(decision)

    done = await system.over(job.id)
    assert (done.state, done.reason) == ("rejected", "review by ada: blurred")
    assert (await system.store.get(RehearsalSet, job.run)).status == "deleted"
    assert await system.store.drop_parts(set_of(job.run)) == 0


async def test_the_policy_rejects_a_set_that_misses_a_threshold(system: System) -> None:
    done = await system.run("j-few", rehearsal(review={"min_count": 21}))

    assert done.state == "rejected"
    assert "20 samples, at least 21 are needed" in done.reason


async def test_a_candidate_that_misses_a_gate_is_not_released(system: System) -> None:
    before = (await system.store.get(Model, "digits")).released

    done = await system.run("j-gate", rehearsal(gates=Gates(min_accuracy=1.0)))

    assert done.state == "failed"
    assert "is under the gate 1.0" in done.reason
    assert (await system.store.get(Model, "digits")).released == before


async def test_a_cancelled_job_stops_and_leaves_no_data(system: System) -> None:
    spec = rehearsal(training={"epochs": 10_000, "patience": 10_000})
    job = await system.start("j-cancel", spec)
    await reaches(system, job, "training")

    await finish(system.store, job, "cancelled", "not wanted")

    done = await system.over(job.id)
    assert done.state == "cancelled"
    assert await system.store.drop_parts(set_of(job.run)) == 0


async def test_two_jobs_on_one_base_do_not_overwrite_each_other(system: System) -> None:
    one = await system.start("j-one", rehearsal())
    two = await system.start("j-two", rehearsal(seed=1))

    ended = [await system.over(one.id), await system.over(two.id)]

    assert sorted(job.state for job in ended) == ["completed", "failed"]
    assert "was released meanwhile" in next(job.reason for job in ended if job.state == "failed")


async def test_a_release_carries_every_part_it_lists(system: System) -> None:
    await system.run("j-release", rehearsal())

    async with system.bus.follow(ModelReleased, "digits", "newest") as releases:
        released = await anext(releases)

    assert released.manifest.version == 2
    assert set(released.parts) == {part.digest for part in released.manifest.parts}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": ("0", "9")}, "no gmm generator of model digits was fitted for 9"),
        ({"new_data": "absent"}, "'absent' in the store"),
        ({"base": 77}, "digits@77"),
        ({"options": {"no-such-option": 1}}, "no-such-option"),
    ],
)
async def test_a_job_that_cannot_be_done_fails_with_the_reason(
    system: System, changes: dict[str, object], reason: str
) -> None:
    done = await system.run("j-bad", rehearsal(**{"fit_new": False, **changes}))

    assert done.state == "failed"
    assert reason in done.reason


async def test_the_wrong_shape_of_data_fails_with_the_reason(system: System) -> None:
    dataset = await add_digits(system.store, "other", NEW)
    await system.store.replace(dataset.model_copy(update={"shape": (4, 16)}))

    done = await system.run("j-shape", rehearsal(new_data="other", fit_new=False))

    assert done.state == "failed"
    assert "takes uint8 of (8, 8)" in done.reason


async def reaches(system: System, job: Job, state: str, attempt: int = 1) -> None:
    """Wait for the job's attempt to be in that state."""
    async with asyncio.timeout(30), system.bus.follow(Progress, since="first") as progress:
        async for news in progress:
            if (news.job, news.state, news.attempt) == (job.id, state, attempt):
                return


async def test_a_restarted_system_finishes_its_jobs_and_still_has_its_releases(
    tmp_path: Path,
) -> None:
    async with embedded(tmp_path) as system:
        await prepare(system)
        job = await system.start("j-manual", rehearsal(review={"mode": "manual"}))
        await reaches(system, job, "reviewing")

    async with embedded(tmp_path) as system:  # the bus is empty, the store is not
        await resume(system.bus, system.store)
        async with system.bus.follow(ModelReleased, "digits", "newest") as releases:
            assert (await anext(releases)).manifest.version == 1
        await reaches(system, job, "reviewing")
        await system.bus.publish(ReviewDecided(job=job.id, approved=True, reviewer="ada"))
        done = await system.over(job.id)

    assert (done.state, done.reason) == ("completed", "")


async def test_what_a_cancelled_attempt_left_on_the_bus_does_not_touch_the_next_one(
    tmp_path: Path,
) -> None:
    endless = {"epochs": 10_000, "patience": 10_000}
    async with embedded(tmp_path, slice_s=0.3) as system:
        await prepare(system)
        spec = rehearsal(review={"mode": "manual"}, training=endless)
        job = await system.start("j-again", spec)
        await reaches(system, job, "reviewing")
        await system.bus.publish(ReviewDecided(job=job.id, approved=True, reviewer="ada"))
        await reaches(system, job, "training")

        await cancel(system.store, system.bus, job.id)
        second = await retry(system.store, system.bus, job.id)
        stale = ReviewDecided(job=job.id, approved=True, reviewer="ada", attempt=1)
        await reaches(system, second, "reviewing", attempt=2)
        await system.bus.publish(stale)
        await system.bus.publish(RehearsalRequested(job=job.id, attempt=1))
        await idle(system)

        now = await system.store.get(Job, job.id)
        assert (now.state, now.attempt) == ("reviewing", 2)
        assert (await system.store.get(RehearsalSet, second.run)).reviewer == ""
        assert (await system.store.get(Model, "digits")).released == 1
        assert await system.store.drop_parts(work_of(job.run)) == 0


async def idle(system: System) -> None:
    """Wait until nothing waits in any queue and a message sent now has been answered."""
    await system.run("j-probe", FitSpec(model="digits", generator="original", data="old"))


async def test_without_named_classes_everything_that_the_model_knows_is_rehearsed(
    system: System,
) -> None:
    job = await system.run("j-default", rehearsal(classes=()))

    kept = await system.store.get(RehearsalSet, job.run)
    assert set(kept.counts) == set(NAMES)


async def test_forgetting_that_was_not_measured_is_not_released(system: System) -> None:
    plain = {"generator": None, "classes": (), "gates": {"max_forgetting": 0.05}}

    done = await system.run("j-blind", rehearsal(**plain))

    assert done.state == "failed"
    assert "class 0 was not measured" in done.reason
    assert (await system.store.get(Model, "digits")).released == 1
