"""Shards come in, in any order and perhaps twice; the set is the same."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.documents import Fitted, Job, RehearsalSet
from schemas.flow import GenerationRequested, Progress, RehearsalSetReady, SamplesLabelled
from schemas.message import Message, derived_id
from schemas.names import set_of
from store.base import Store, change
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    add_part,
    add_reference,
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
from workers.datasets import read_parts
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
    await add_fitted(store, reference=await add_reference(store))
    fitted = dict.fromkeys(KNOWN, ("gmm-earlier",))
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


async def test_the_set_says_how_alike_each_class_is_to_data_that_is_gone(
    store: Store, resources: Resources
) -> None:
    other = shard(2).model_copy(update={"samples": samples_of("ant", 5, seed=9)})

    said = await arrive(resources, [other, shard(1), shard(0)])

    likeness = only(RehearsalSetReady, said).likeness
    assert (await store.get(RehearsalSet, "j-1.1")).likeness == likeness
    assert likeness["ant"].fidelity > 0.7
    assert likeness["ant"].drift < 1
    assert likeness["bee"].fidelity == likeness["bee"].coverage == 0  # they are ants
    assert likeness["bee"].drift > 1


async def add_second_look(store: Store, **changes: object) -> None:
    """Ants were fitted once more, on others that look like cats; the job rehearses both."""
    reference = await add_reference(store, "gmm-second", ("cat", "bee"))
    fields: dict[str, Any] = {"data": "second", "reference": reference, **changes}
    await add_fitted(store, "gmm-second", ("ant", "bee"), **fields)
    fits = {"ant": ("gmm-earlier", "gmm-second"), "bee": ("gmm-earlier",)}
    await change(store, Job, "j-1", lambda now: now.model_copy(update={"fitted": fits}))


def of_second_look(seen: str, count: int = 40) -> SamplesLabelled:
    """Shard 1 as ants of the second fit that look like this."""
    placed = order("ant", shard=1, shards=len(SHARDS), fitted="gmm-second")
    look = samples_of(seen, count, seed=5)
    return shard(1, count).model_copy(update={"order": placed, "samples": look})


async def test_each_look_of_a_class_is_compared_with_the_data_of_its_own_fit(
    store: Store, resources: Resources
) -> None:
    await add_second_look(store)

    said = await arrive(resources, [shard(0, 40), of_second_look("cat"), shard(2)])

    ready = only(RehearsalSetReady, said)
    assert ready.counts == {"ant": 80, "bee": 5}
    assert ready.likeness["ant"].fidelity > 0.7
    assert ready.likeness["ant"].coverage > 0.5
    assert ready.likeness["ant"].drift < 0.5
    assert (await store.get(RehearsalSet, "j-1.1")).fitted == ("gmm-earlier", "gmm-second")


@pytest.mark.parametrize(("first", "second"), [("ant", "ant"), ("cat", "cat")])
async def test_a_class_is_as_alike_as_the_worst_of_its_looks(
    store: Store, resources: Resources, first: str, second: str
) -> None:
    await add_second_look(store)
    seen = shard(0, 40).model_copy(update={"samples": samples_of(first, 40)})

    said = await arrive(resources, [seen, of_second_look(second), shard(2)])

    worst = only(RehearsalSetReady, said).likeness["ant"]
    assert worst.fidelity == worst.coverage == 0
    assert worst.drift > 1


async def test_a_class_with_a_look_of_which_nothing_is_known_has_no_likeness(
    store: Store, resources: Resources
) -> None:
    await add_second_look(store, reference=None)

    said = await arrive(resources, [shard(0), of_second_look("cat"), shard(2)])

    assert set(only(RehearsalSetReady, said).likeness) == {"bee"}


async def test_a_class_with_a_look_that_did_not_come_through_has_no_likeness(
    store: Store, resources: Resources
) -> None:
    await add_second_look(store)

    said = await arrive(resources, [shard(0), of_second_look("cat", 0), shard(2)])

    assert set(only(RehearsalSetReady, said).likeness) == {"bee"}


@pytest.mark.parametrize(("data", "fit"), [("old", "gmm-earlier"), ("other", "gmm-second")])
async def test_corrected_samples_are_compared_with_their_class_in_the_same_data(
    store: Store, resources: Resources, data: str, fit: str
) -> None:
    """Bees come from a fit of the ants' first data, or of data that ants are not in."""
    await add_second_look(store)
    await add_fitted(store, "gmm-bees", ("bee",), data=data)
    fits = {"ant": ("gmm-earlier", "gmm-second"), "bee": ("gmm-bees",)}
    await change(store, Job, "j-1", lambda now: now.model_copy(update={"fitted": fits}))
    samples = np.concatenate([samples_of("bee", 3), samples_of("ant", 2)])
    made = shard(2).model_copy(
        update={
            "order": order("bee", shard=2, shards=len(SHARDS), fitted="gmm-bees"),
            "samples": samples,
            "counts": {"bee": 3, "ant": 2},
        }
    )

    await arrive(resources, [made])

    kept = Shard.model_validate_json(str((await store.arrive("j-1.1", 2, "{}", 3)).earlier))
    assert [portion.fitted for portion in (kept, *kept.corrected)] == ["gmm-bees", fit]


async def test_shards_from_before_a_class_had_several_fits_count_for_its_one(
    store: Store, resources: Resources
) -> None:
    await arrive(resources, [corrected_shard(), shard(1)])
    left = [await store.arrive("j-1.1", number, "{}", len(SHARDS)) for number in (0, 1)]
    await store.close_gate("j-1.1")
    for number, arrival in enumerate(left):
        old = Shard.model_validate_json(str(arrival.earlier))
        old_form = old.model_dump_json(
            exclude={"fitted": True, "corrected": {"__all__": {"fitted"}}}
        )
        assert "fitted" not in old_form
        await store.arrive("j-1.1", number, old_form, len(SHARDS))

    said = await arrive(resources, [shard(2, 0)])

    likeness = only(RehearsalSetReady, said).likeness
    assert max(likeness[name].drift for name in KNOWN) < 1


async def test_near_duplicates_are_on_record(store: Store, resources: Resources) -> None:
    same = np.repeat(samples_of("bee", 1), 5, axis=0)
    await arrive(resources, [shard(0), shard(1), shard(2).model_copy(update={"samples": same})])

    kept = await store.get(RehearsalSet, "j-1.1")
    assert kept.near_duplicates["bee"] == 1
    assert kept.near_duplicates["ant"] < 1


def corrected_shard() -> SamplesLabelled:
    """Shard 0 with two samples made as ants that are bees."""
    samples = np.concatenate([samples_of("ant", 3), samples_of("bee", 2, seed=7)])
    return shard(0, 5).model_copy(update={"samples": samples, "counts": {"ant": 3, "bee": 2}})


async def test_corrected_samples_count_as_the_class_that_they_were_given(
    store: Store, resources: Resources
) -> None:
    said = await arrive(resources, [corrected_shard(), shard(1), shard(2)])

    ready = only(RehearsalSetReady, said)
    kept = await store.get(RehearsalSet, "j-1.1")
    assert ready.counts == kept.counts == {"ant": 3 + 4, "bee": 5 + 2}
    assert (kept.corrected, kept.balance) == ({"bee": 2}, 1)
    assert kept.mean_confidence["bee"] == pytest.approx((5 * 0.7 + 2 * 0.5) / 7)
    assert max(kept.likeness[name].drift for name in KNOWN) < 1  # each is compared with its own
    samples, labels = await read_parts(store, kept.parts, KNOWN)
    assert np.bincount(labels).tolist() == [7, 7]
    np.testing.assert_array_equal(samples.argmax(axis=1), labels)


async def test_counts_that_do_not_add_up_do_not_get_past_the_gate(
    store: Store, resources: Resources
) -> None:
    wrong = shard(0).model_copy(update={"counts": {"ant": 1, "bee": 1}})

    with pytest.raises(ValueError, match=r"counts: .* do not add up to 3 samples"):
        await arrive(resources, [wrong])

    assert await store.arrived("j-1.1") == set()


async def test_a_set_of_more_parts_than_it_may_have_fails_the_job(
    store: Store, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collection.MAX_ENTRIES", 3)

    await arrive(resources, [corrected_shard(), shard(1), shard(2)])

    job = await job_now(store)
    assert (job.state, job.reason) == (
        "failed",
        "labels: 4 parts, at most 3; ask for fewer samples",
    )


async def test_samples_that_two_shards_share_are_on_record(
    store: Store, resources: Resources
) -> None:
    again = shard(1).model_copy(update={"samples": samples_of("ant", 4, seed=0)})

    await arrive(resources, [shard(0), again, shard(2)])

    kept = await store.get(RehearsalSet, "j-1.1")
    shared = len(
        {row.tobytes() for row in samples_of("ant", 3)} & {r.tobytes() for r in again.samples}
    )
    assert shared == 3
    assert kept.duplicates == {"ant": pytest.approx(3 / 7), "bee": 0}


async def test_a_set_of_a_fit_without_statistics_has_no_likeness(
    store: Store, resources: Resources
) -> None:
    earlier = await store.get(Fitted, "gmm-earlier")
    await store.replace(earlier.model_copy(update={"reference": None}))

    said = await arrive(resources, [shard(0), shard(1), shard(2)])

    assert only(RehearsalSetReady, said).likeness == {}


async def test_shards_that_an_earlier_release_let_in_are_left_out_of_the_likeness(
    store: Store, resources: Resources
) -> None:
    part = await add_part(store, "ant", 3, set_of("j-1.1"))
    kept = Shard(part=part, rejected={}, confidence=1, diversity=0)
    old = kept.model_dump_json(exclude={"left_by", "near_duplicates", "tally"})
    await store.arrive("j-1.1", 0, old, len(SHARDS))

    said = await arrive(resources, [shard(1), shard(2)])

    ready = only(RehearsalSetReady, said)
    assert ready.counts == {"ant": 7, "bee": 5}
    assert set(ready.likeness) == {"ant", "bee"}


async def test_samples_that_are_no_numbers_do_not_get_past_the_gate(
    store: Store, resources: Resources
) -> None:
    spoiled = np.full((1, 3), np.nan, np.float32)
    message = shard(0, count=1).model_copy(update={"samples": spoiled})

    with pytest.raises(ValueError, match="not finite"):
        await arrive(resources, [message])

    assert await store.arrived("j-1.1") == set()


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
