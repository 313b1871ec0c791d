"""Each shard that comes in asks for the next of its lane, whatever is repeated."""

import numpy as np
import pytest

from schemas.flow import GenerationRequested, Progress, RehearsalSetReady, SamplesLabelled
from schemas.message import derived_id
from schemas.names import set_of
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    add_part,
    arrive,
    of,
    only,
    order,
    rehearsal,
    shard,
)
from workers.collection import Shard, stage
from workers.resources import Resources

pytestmark = pytest.mark.usefixtures("_generating")

HUGE = 100


async def huge_job(store: Store) -> None:
    """A job of 100 shards, four samples each, beside the small one."""
    await add_fitted(store, "gmm-huge", shape=(512, 256), dtype="uint8")
    spec = rehearsal(count=2 * HUGE, classes=("ant", "bee"))
    fitted = dict.fromkeys(KNOWN, ("gmm-huge",))
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
    assert (asked.order.target, asked.order.fitted) == ("bee", "gmm-huge")


async def asked_by(
    resources: Resources, shard: SamplesLabelled, key: str
) -> list[GenerationRequested]:
    """What the arrival of a shard asks for that came with the message of that id."""
    brought = shard.model_copy(update={"id": derived_id(key)})
    return of(GenerationRequested, [output async for output in stage(resources).handle(brought)])


async def test_a_message_that_is_delivered_again_asks_again_under_the_same_id(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)

    # Its worker may have been killed before the request was out.
    once, again = [await asked_by(resources, of_huge(0, window=8), "first") for _ in range(2)]

    assert once == again
    assert [request.id for request in again] == [derived_id("j-huge.1", "shard", 8)]


async def test_another_message_for_a_shard_that_is_in_asks_for_nothing(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)

    await asked_by(resources, of_huge(0, window=8), "first")

    assert await asked_by(resources, of_huge(0, window=8), "asked for again") == []
    assert len(await asked_by(resources, of_huge(0, window=8), "first")) == 1


async def test_a_message_that_is_delivered_again_after_the_next_shard_asks_for_nothing(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)
    await asked_by(resources, of_huge(0, window=8), "first")
    await asked_by(resources, of_huge(8, window=8), "next")

    assert await asked_by(resources, of_huge(0, window=8), "first") == []
    assert len(await asked_by(resources, of_huge(8, window=8), "next")) == 1


async def test_a_shard_that_an_earlier_release_let_in_is_asked_on_from(
    store: Store, resources: Resources
) -> None:
    await huge_job(store)
    part = await add_part(store, "ant", 4, set_of("j-huge.1"))
    kept = Shard(part=part, rejected={}, confidence=1, diversity=0)
    await store.arrive("j-huge.1", 0, kept.model_dump_json(exclude={"left_by"}), HUGE)

    (request,) = await asked_by(resources, of_huge(0, window=8), "any")

    assert request.order.shard == 8


async def test_whatever_is_repeated_at_most_one_shard_of_a_lane_is_awaited(
    store: Store, resources: Resources
) -> None:
    """One lane of 20: each request becomes a message; many are delivered again, or asked for again."""
    await huge_job(store)
    random = np.random.default_rng(0)
    waiting, delivered, awaited = [(0, "planned")], [(0, "planned")], set[int]()
    while waiting:
        shard, key = waiting.pop(int(random.integers(len(waiting))))
        delivered.append((shard, key))
        asked = await asked_by(resources, of_huge(shard, window=5), key)
        waiting += [(each.order.shard, str(each.id)) for each in asked]
        if len(delivered) < 60:  # a broker repeats any of those before, a watchdog the one awaited
            waiting.append(delivered[int(random.integers(len(delivered)))])
            waiting.append((len(await store.arrived("j-huge.1")) * 5 % HUGE, f"{len(delivered)}"))
        arrived = await store.arrived("j-huge.1")
        awaited = {each for each, _ in waiting} - arrived
        assert len(awaited) <= 1

    assert await store.arrived("j-huge.1") == set(range(0, HUGE, 5))
    assert len(delivered) < 60 * 3 + HUGE


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
