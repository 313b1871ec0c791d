"""Shards come in, in any order and perhaps twice; the set is the same."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from schemas.documents import RehearsalSet
from schemas.flow import Progress, RehearsalSetReady, SamplesLabelled
from schemas.message import Message, derived_id
from schemas.names import set_of
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_job,
    is_there,
    job_now,
    of,
    only,
    order,
    rehearsal,
    samples_of,
    sent,
)
from workers.collection import stage
from workers.resources import Resources

SHARDS = ("ant", "ant", "bee")


def shard(index: int, count: int | None = None) -> SamplesLabelled:
    """The shard of that number: 3, 4 or 5 samples, with as many rejected as its number says."""
    target = SHARDS[index]
    count = index + 3 if count is None else count
    return SamplesLabelled(
        job="j-1",
        order=order(target, shard=index, shards=len(SHARDS)),
        samples=samples_of(target, count, seed=index),
        probabilities=np.full((count, 2), 0.5, np.float32),
        confidence=np.full(count, 0.5 + index / 10, np.float32),
        rejected={"duplicate": index, "surplus": 0},
    )


@pytest.fixture(autouse=True)
async def _job(store: Store) -> None:
    fitted = dict.fromkeys(KNOWN, "gmm-earlier")
    await add_job(store, rehearsal(), state="generating", fitted=fitted)


async def arrive(resources: Resources, shards: Sequence[SamplesLabelled]) -> list[Message]:
    collection = stage(resources)
    return [said for each in shards for said in await sent(collection, each)]


async def collected(store: Store) -> dict[str, object]:
    kept = await store.get(RehearsalSet, "j-1.1")
    return kept.model_dump(exclude={"created", "revision"})


async def test_the_last_shard_makes_the_set(store: Store, resources: Resources) -> None:
    early = await arrive(resources, [shard(0), shard(1)])
    late = await arrive(resources, [shard(2)])

    assert of(RehearsalSetReady, early) == []
    assert [news.done for news in of(Progress, [*early, *late])] == [1, 2, 3]
    ready = only(RehearsalSetReady, late)
    assert ready.counts == {"ant": 7, "bee": 5}
    assert ready.balance == pytest.approx(5 / 7)
    assert ready.mean_confidence["ant"] == pytest.approx((3 * 0.5 + 4 * 0.6) / 7)
    kept = await store.get(RehearsalSet, "j-1.1")
    assert [part.target for part in kept.parts] == list(SHARDS)
    assert kept.distances["ant"] > 0
    assert (await job_now(store)).state == "reviewing"


async def test_any_order_and_any_repeat_gives_the_same_set(
    store: Store, resources: Resources
) -> None:
    sets, news = [], []
    for arrival in permutations(range(3)):
        said = await arrive(resources, [shard(index) for index in (*arrival, *arrival)])
        sets.append(await collected(store))
        news += of(RehearsalSetReady, said)
        await store.delete(RehearsalSet, "j-1.1")
        await store.close_gate("j-1.1")

    assert all(each == sets[0] for each in sets)
    assert {each.id for each in news} == {derived_id("j-1.1", "set")}  # whoever was last


async def test_rejected_samples_are_counted_once(store: Store, resources: Resources) -> None:
    await arrive(resources, [shard(index) for index in (0, 1, 2, 2, 1, 0)])

    assert (await job_now(store)).rejected == {"duplicate": 3}


async def test_a_class_of_which_nothing_came_through_counts_zero(
    store: Store, resources: Resources
) -> None:
    said = await arrive(resources, [shard(0), shard(1), shard(2, count=0)])

    ready = only(RehearsalSetReady, said)
    assert ready.counts == {"ant": 7, "bee": 0}
    assert ready.balance == 0
    assert ready.mean_confidence["bee"] == 0


async def test_the_samples_belong_to_the_set(store: Store, resources: Resources) -> None:
    await arrive(resources, [shard(0), shard(1), shard(2)])
    kept = await store.get(RehearsalSet, "j-1.1")
    assert all([await is_there(store, part.digest) for part in kept.parts])

    await store.drop_parts(set_of("j-1.1"))

    assert not any([await is_there(store, part.digest) for part in kept.parts])
