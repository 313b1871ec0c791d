"""Checkpoints of work that goes on over several messages: two at most, and none is read twice."""

import numpy as np
import pytest

from schemas.documents import Job
from schemas.flow import TrainingRequested
from schemas.message import UNSTAMPED, derived_id
from schemas.names import work_of
from store.base import Store
from tests.workers.scene import add_job, is_there, plain
from workers.slices import Superseded, leave, take

FIRST = TrainingRequested(id=derived_id("first"), job="j-1")


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
