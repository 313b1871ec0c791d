"""Shards come in, in any order and perhaps twice; the set is the same."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.documents import RehearsalSet
from schemas.flow import GenerationRequested, Progress, RehearsalSetReady, SamplesLabelled
from schemas.message import Message, derived_id
from schemas.names import set_of
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    add_part,
    is_there,
    job_now,
    of,
    only,
    order,
    rehearsal,
    samples_of,
    sent,
)
from workers.collection import Shard, stage
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


@pytest.mark.parametrize("confidence", [np.nan, np.inf, -1, 2])
async def test_figures_that_are_none_do_not_get_past_the_gate(
    store: Store, resources: Resources, confidence: float
) -> None:
    spoiled = shard(0).model_copy(update={"confidence": np.full(3, confidence, np.float32)})

    with pytest.raises(ValidationError, match="confidence"):
        await arrive(resources, [spoiled])

    said = await arrive(resources, [shard(0), shard(1), shard(2)])
    assert only(RehearsalSetReady, said).counts == {"ant": 7, "bee": 5}


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


HUGE = 100


async def huge_job(store: Store) -> None:
    """A job of 100 shards, four samples each, beside the small one."""
    await add_fitted(store, shape=(512, 256), dtype="uint8")
    spec = rehearsal(count=2 * HUGE, classes=("ant", "bee"))
    fitted = dict.fromkeys(KNOWN, "gmm-earlier")
    await add_job(store, spec, id="j-huge", state="generating", fitted=fitted)


def of_huge(number: int, window: int) -> SamplesLabelled:
    placed = order("ant", shard=number, shards=HUGE, window=window)
    return shard(0).model_copy(update={"job": "j-huge", "order": placed})


async def test_an_arrival_asks_for_the_next_shard_of_its_lane(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)

    asked = only(GenerationRequested, await arrive(resources, [of_huge(45, window=8)]))

    assert (asked.job, asked.order.shard, asked.order.window) == ("j-huge", 53, 8)
    assert (asked.order.target, asked.order.fitted) == ("bee", "gmm-earlier")


async def test_a_repeated_arrival_asks_for_the_same_with_the_same_id(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)
    collection = stage(resources)

    # Two messages: what a lost connection repeats, and what somebody asked for again.
    said = [
        output
        for key in ("first", "second")
        async for output in collection.handle(
            of_huge(0, window=8).model_copy(update={"id": derived_id(key)})
        )
    ]

    first, second = of(GenerationRequested, said)
    assert first == second
    assert first.id == derived_id("j-huge.1", "shard", 8)


async def test_an_arrival_that_is_repeated_when_all_are_in_asks_for_nothing(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)
    part = await add_part(store, "ant", 4, set_of("j-huge.1"))
    value = Shard(part=part, rejected={}, confidence=1, diversity=0).model_dump_json()
    for number in range(HUGE):
        await store.arrive("j-huge.1", number, value, HUGE)

    said = await arrive(resources, [of_huge(45, window=8)])

    assert of(GenerationRequested, said) == []
    assert only(RehearsalSetReady, said).counts == {"ant": 4 * HUGE, "bee": 0}


async def test_the_last_of_a_lane_asks_for_nothing(store: Store, resources: Resources) -> None:
    await huge_job(store)

    said = await arrive(resources, [of_huge(HUGE - 8, window=8), of_huge(0, window=HUGE)])

    assert of(GenerationRequested, said) == []


async def test_a_job_of_many_shards_reports_about_a_hundred_times(
    store: Store, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    await huge_job(store)
    monkeypatch.setattr("workers.collection.REPORTS", 4)
    arrived = [of_huge(number, window=HUGE) for number in range(HUGE // 2)]

    said = await arrive(resources, arrived)

    assert [news.done for news in of(Progress, said)] == [25, 50]
