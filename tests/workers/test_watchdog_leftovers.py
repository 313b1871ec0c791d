"""What a job leaves behind is removed once nobody can be at it; what it made is kept, and the newest release stands."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from schemas.documents import Model
from schemas.flow import ModelReleased
from schemas.names import model_of, set_of, work_of
from store.base import Store
from store.jobs import finish
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
from tests.workers.watch import STALL_S, Watch


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
