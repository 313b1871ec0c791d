"""The shards of a job: how large they are, their seeds, and which are asked for at first and again."""

from math import prod

import pytest

from schemas.flow import MAX_SHARDS, GenerationRequested, Progress, RehearsalRequested
from schemas.message import derived_id
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    job_now,
    of,
    only,
    orders,
    planned,
    rehearsal,
)
from workers.planning import stage
from workers.resources import Resources
from workers.shards import SHARD_BYTES, SHARD_SAMPLES

pytestmark = pytest.mark.usefixtures("dataset")


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [((3,), "float32", 1), ((28, 28), "uint8", 1201), ((64, 64, 3), "float32", 60)],
)
async def test_shards_cover_exactly_what_is_asked_of_each_class(
    store: Store, resources: Resources, shape: tuple[int, ...], dtype: str, count: int
) -> None:
    await add_fitted(store, shape=shape, dtype=dtype)
    await add_job(store, rehearsal(count=count))

    made = await orders(resources)

    for target in KNOWN:
        assert sum(order.count for order in made if order.target == target) == count
    assert [order.shard for order in made] == list(range(len(made)))
    assert {order.shards for order in made} == {len(made)}
    sample_bytes = prod(shape) * (1 if dtype == "uint8" else 4)
    assert max(order.count for order in made) <= SHARD_SAMPLES
    assert max(order.count for order in made) * sample_bytes <= SHARD_BYTES


async def test_a_sample_larger_than_a_shard_gets_one_of_its_own(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store, shape=(1024, 1024, 3), dtype="uint8")
    await add_job(store, rehearsal(count=2))

    assert [order.count for order in await orders(resources)] == [1, 1, 1, 1]


async def test_a_seed_follows_from_the_job_the_class_and_the_shard_alone(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1200, classes=("bee",), seed=3))
    alone = await orders(resources)
    await store.replace(
        (await job_now(store)).model_copy(
            update={"spec": rehearsal(count=1200, seed=3), "state": "submitted", "fitted": {}}
        )
    )

    together = await orders(resources)

    seeds = [order.seed for order in together]
    assert len(set(seeds)) == len(seeds) == 6
    assert [order.seed for order in alone] == [
        order.seed for order in together if order.target == "bee"
    ]


async def test_another_job_seed_gives_other_seeds(store: Store, resources: Resources) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(seed=1))
    first = await orders(resources)
    await store.replace((await job_now(store)).model_copy(update={"spec": rehearsal(seed=2)}))

    second = await orders(resources)

    assert {order.seed for order in first}.isdisjoint(order.seed for order in second)


async def test_more_shards_than_a_gate_takes_are_refused(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store, shape=(1024, 1024), dtype="uint8")
    await add_job(store, rehearsal(count=MAX_SHARDS))

    assert await orders(resources) == []

    assert f"count: {2 * MAX_SHARDS} shards, at most" in (await job_now(store)).reason


async def test_only_a_window_of_shards_is_asked_for(store: Store) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))

    made = await planned(Resources(store, ("gmm",), window=4))

    asked = [message.order for message in of(GenerationRequested, made)]
    assert [(order.shard, order.shards, order.window) for order in asked] == [
        (shard, 6, 4) for shard in range(4)
    ]
    assert only(Progress, made).total == 6


async def test_a_job_that_is_asked_for_again_goes_on_with_what_has_not_arrived(
    store: Store,
) -> None:
    resources = Resources(store, ("gmm",), window=2)
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))
    first = of(GenerationRequested, await planned(resources))
    for shard in (0, 1, 2):
        await store.arrive("j-1.1", shard, "{}", 6)

    nudge = RehearsalRequested(id=derived_id("nudge"), job="j-1")
    again = of(GenerationRequested, [each async for each in stage(resources).handle(nudge)])
    repeated = of(GenerationRequested, [each async for each in stage(resources).handle(nudge)])

    assert [message.order.shard for message in again] == [4, 3]
    assert again == repeated
    # What was lost may have been lost after generation: it must not take this for what it has done.
    assert {message.id for message in again}.isdisjoint(message.id for message in first)


async def test_a_job_whose_shards_are_all_in_is_collected_when_it_is_asked_for_again(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))
    await planned(resources)
    for shard in range(6):
        await store.arrive("j-1.1", shard, "{}", 6)

    assert [order.shard for order in await orders(resources)] == [5]
