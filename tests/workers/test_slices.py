"""Checkpoints of work that goes on over several messages: one chain, whoever asks for it and however often."""

import numpy as np
import pytest

from schemas.documents import Job, JobState
from schemas.flow import FittingRequested, TrainingRequested
from schemas.message import UNSTAMPED, derived_id
from schemas.names import work_of
from store.base import Store
from store.jobs import advance
from tests.workers.scene import add_job, is_there, job_now, plain
from workers.slices import Superseded, leave, repeated, take

FIRST = TrainingRequested(id=derived_id("first"), job="j-1")
TWIN = FIRST.model_copy(update={"id": derived_id("asked for again")})


@pytest.fixture
async def job(store: Store) -> Job:
    return await add_job(store, plain(), state="training")


def weights(value: float) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    return {"weights": np.full(3, value, np.float32)}


async def test_a_first_slice_begins_with_nothing(store: Store, job: Job) -> None:
    assert await take(store, job, FIRST) is None


async def test_a_slice_begins_with_what_the_one_before_left(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))

    taken = await take(store, job, second)

    assert taken is not None
    np.testing.assert_array_equal(taken["weights"], weights(1)["weights"])
    assert (second.slice, second.id) == (1, UNSTAMPED)


async def test_the_checkpoint_before_is_dropped_once_a_slice_begins(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))
    third = await leave(store, job, second, weights(2))
    assert await is_there(store, str(second.checkpoint))

    await take(store, job, third)

    assert not await is_there(store, str(second.checkpoint))
    assert await is_there(store, str(third.checkpoint))


async def test_a_repeat_of_an_earlier_slice_is_superseded(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))
    third = await leave(store, job, second, weights(2))
    await take(store, job, third)

    with pytest.raises(Superseded):
        await take(store, job, second)


async def test_a_slice_that_was_cut_short_begins_again(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))
    third = await leave(store, job, second, weights(2))

    twice = [await take(store, job, third) for _ in range(2)]

    assert all(taken is not None and taken["weights"][0] == 2 for taken in twice)


async def test_checkpoints_go_with_the_job(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))

    await store.drop_parts(work_of(job.run))

    assert not await is_there(store, str(second.checkpoint))


async def test_the_job_names_its_newest_checkpoint(store: Store, job: Job) -> None:
    second = await leave(store, job, FIRST, weights(1))

    left = (await job_now(store)).checkpoint

    assert left is not None
    assert (left.slice, left.digest, left.left_by) == (1, second.checkpoint, FIRST.id)


async def test_of_two_messages_for_one_slice_the_first_to_leave_a_checkpoint_goes_on(
    store: Store, job: Job
) -> None:
    second = await leave(store, job, FIRST, weights(1))

    with pytest.raises(Superseded):
        await leave(store, job, TWIN, weights(2))
    with pytest.raises(Superseded):
        await take(store, await job_now(store), TWIN)
    assert repeated(await job_now(store), TWIN) == []
    assert await take(store, await job_now(store), second) is not None


async def test_a_message_whose_end_was_not_published_asks_for_the_same_slice_again(
    store: Store, job: Job
) -> None:
    second = await leave(store, job, FIRST, weights(1))

    now = await job_now(store)

    with pytest.raises(Superseded):
        await take(store, now, FIRST)
    assert repeated(now, FIRST) == [second]


@pytest.mark.parametrize("state", ["cancelled", "failed", "completed"])
async def test_a_slice_of_a_job_that_is_over_leads_to_no_other(
    store: Store, job: Job, state: JobState
) -> None:
    await store.replace(job.model_copy(update={"state": state}))

    with pytest.raises(Superseded):
        await leave(store, job, FIRST, weights(1))

    assert (await job_now(store)).checkpoint is None


async def test_training_begins_at_its_own_first_slice_after_fitting(store: Store, job: Job) -> None:
    fitting = await store.replace(job.model_copy(update={"state": "fitting"}))
    request = FittingRequested(id=derived_id("fit"), job="j-1", generator="gmm")
    await leave(store, fitting, request, weights(1))

    trains = await advance(store, fitting, "training")

    assert trains.checkpoint is None
    assert await take(store, trains, FIRST) is None
