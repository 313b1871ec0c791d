"""What the shards of a job are, and which are asked for."""

import pytest

from schemas.documents import Job
from schemas.flow import MAX_SHARDS, Order
from store.base import Store
from tests.workers.scene import add_fitted, add_job, rehearsal
from workers.resources import Refusal
from workers.shards import KEPT_PLANS, Plan, Plans, unarrived

SEED_OF_FIRST_ANTS = 6493697220925276787
SEED_OF_LAST_ANTS = 16263393843174961908


async def plan(store: Store, count: int = 1201) -> Plan:
    fit = await add_fitted(store)
    return Plan.of(rehearsal(count=count), {"ant": (fit,), "bee": (fit,)})


def all_orders(made: Plan, window: int = 4) -> list[Order]:
    return [made.order(shard, window) for shard in range(made.shards)]


async def test_every_order_follows_from_its_number_alone(store: Store) -> None:
    made = await plan(store)

    orders = all_orders(made)

    assert [(each.shard, each.target, each.count) for each in orders] == [
        (0, "ant", 500),
        (1, "ant", 500),
        (2, "ant", 201),
        (3, "bee", 500),
        (4, "bee", 500),
        (5, "bee", 201),
    ]
    assert len({each.seed for each in orders}) == 6
    assert made.order(4, 4) == orders[4]


async def test_orders_of_one_fit_of_a_class_begin_where_those_before_them_end(
    store: Store,
) -> None:
    orders = all_orders(await plan(store))

    assert [each.start for each in orders] == [0, 500, 1000] * 2
    assert len({each.common_seed for each in orders[:3]}) == 1
    assert len({each.common_seed for each in orders}) == 2


async def test_a_class_of_one_fit_is_made_from_the_same_seeds_as_ever(store: Store) -> None:
    orders = all_orders(await plan(store))

    assert orders[0].seed == SEED_OF_FIRST_ANTS
    assert orders[2].seed == SEED_OF_LAST_ANTS


async def test_a_class_is_shared_by_its_fits_and_the_newest_makes_what_is_left_over(
    store: Store,
) -> None:
    fits = [await add_fitted(store, f"gmm-{name}", data=name) for name in ("a", "b", "c")]

    made = Plan.of(rehearsal(count=2000), {"ant": tuple(fits), "bee": (fits[2],)})

    orders = all_orders(made)
    assert [(each.target, each.fitted, each.count) for each in orders] == [
        ("ant", "gmm-a", 500),
        ("ant", "gmm-a", 166),
        ("ant", "gmm-b", 500),
        ("ant", "gmm-b", 167),
        ("ant", "gmm-c", 500),
        ("ant", "gmm-c", 167),
        *[("bee", "gmm-c", 500)] * 4,
    ]
    assert {each.shards for each in orders} == {10}
    assert len({each.seed for each in orders}) == 10
    assert orders[0].seed == SEED_OF_FIRST_ANTS


async def test_no_name_of_a_class_makes_its_seeds_those_of_another(store: Store) -> None:
    fits = tuple([await add_fitted(store, f"gmm-{name}", data=name) for name in ("a", "b")])
    classes = dict.fromkeys(("ant", "ant/0", "ant/1", "1"), fits)

    orders = all_orders(Plan.of(rehearsal(count=1200), classes))

    assert len({each.seed for each in orders}) == len(orders) == 16


async def test_the_fit_beside_another_is_of_the_same_data_or_else_the_newest(
    store: Store,
) -> None:
    day, night = [await add_fitted(store, f"gmm-{name}", data=name) for name in ("day", "night")]
    day_again = await add_fitted(store, "gmm-day-again", ("bee",), data="day")
    dusk = await add_fitted(store, "gmm-dusk", ("cat",), data="dusk")
    made = Plan.of(rehearsal(), {"ant": (day, night), "bee": (day_again, night), "cat": (dusk,)})

    assert made.fit_beside("ant", "gmm-day") == "gmm-day"
    assert made.fit_beside("bee", "gmm-day") == "gmm-day-again"
    assert made.fit_beside("bee", "gmm-dusk") == "gmm-night"
    assert made.fit_beside("cat", "gmm-day") == "gmm-dusk"
    assert made.fit_beside("dog", "gmm-day") == "gmm-day"  # not of this job


async def test_the_window_changes_nothing_in_a_shard(store: Store) -> None:
    made = await plan(store)

    narrow, wide = all_orders(made, 1), all_orders(made, MAX_SHARDS)

    assert [each.model_copy(update={"window": 1}) for each in wide] == narrow


async def test_more_shards_than_a_gate_takes_are_refused(store: Store) -> None:
    fit = await add_fitted(store, shape=(1024, 1024), dtype="uint8")
    most = Plan.of(rehearsal(count=MAX_SHARDS), {"ant": (fit,)})

    assert most.order(MAX_SHARDS - 1, 1).count == 1
    with pytest.raises(Refusal, match=f"count: {2 * MAX_SHARDS} shards, at most {MAX_SHARDS}"):
        Plan.of(rehearsal(count=MAX_SHARDS), {"ant": (fit,), "bee": (fit,)})


@pytest.mark.parametrize(
    ("shape", "dtype", "fits", "count"),
    [
        ((28, 28), "uint8", 1, 2000),
        ((28, 28), "uint8", 3, 2000),
        ((224, 224, 3), "uint8", 1, 111),  # 16 MiB
        ((224, 224, 3), "uint8", 3, 150),
        ((28, 28, 3), "float32", 1, 1783),
    ],
)
async def test_auto_is_2000_samples_of_a_class_and_of_large_ones_16_mebibytes_or_50_for_each_fit(
    store: Store, shape: tuple[int, ...], dtype: str, fits: int, count: int
) -> None:
    own = [await add_fitted(store, f"gmm-{n}", shape=shape, dtype=dtype) for n in range(fits)]

    orders = all_orders(Plan.of(rehearsal(count="auto"), {"ant": tuple(own)}))

    assert sum(order.count for order in orders) == count


@pytest.mark.parametrize(
    ("arrived", "asked"),
    [
        (set(), [0, 1, 2]),
        ({0, 2}, [3, 1, 5]),
        ({0, 3, 1, 2}, [6, 4, 5]),
        (set(range(8)) - {4}, [4]),
        (set(range(8)), [7]),
    ],
)
def test_the_first_of_each_lane_that_is_not_in_is_asked_for(
    arrived: set[int], asked: list[int]
) -> None:
    assert unarrived(8, 3, arrived) == asked


@pytest.mark.parametrize("window", [1, 7, 8, 100])
@pytest.mark.parametrize("before", [1, 3, 100])
def test_every_shard_comes_in_whatever_arrived_under_another_window(
    window: int, before: int
) -> None:
    arrived = {shard for lane in range(before) for shard in range(lane, 23, before)[:2]}

    on_their_way = unarrived(23, window, arrived)
    assert len(on_their_way) <= window
    while on_their_way:
        shard = on_their_way.pop()
        arrived.add(shard)
        if shard + window < 23:
            on_their_way.append(shard + window)

    assert arrived == set(range(23))


async def test_plans_are_made_once_and_the_oldest_are_forgotten(store: Store) -> None:
    await add_fitted(store)
    fitted = dict.fromkeys(("bee", "ant"), ("gmm-earlier",))
    job = await add_job(store, rehearsal(), state="generating", fitted=fitted)
    plans = Plans(store)

    first = await plans.of(job)
    for number in range(KEPT_PLANS):
        assert await plans.of(job) is first
        await plans.of(_copy(job, number))

    assert [first.order(shard, 1).target for shard in (0, 1)] == ["bee", "ant"]
    for number in range(KEPT_PLANS):
        await plans.of(_copy(job, number))
    assert len(plans.kept) == KEPT_PLANS
    assert await plans.of(job) is not first


def _copy(job: Job, number: int) -> Job:
    return job.model_copy(update={"id": f"j-other-{number}"})
