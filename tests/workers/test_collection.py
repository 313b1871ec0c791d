"""Shards come in, in any order and perhaps twice; the set is the same."""

from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.documents import RehearsalSet
from schemas.flow import Progress, RehearsalSetReady
from schemas.message import derived_id
from schemas.names import set_of
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    SHARDS,
    arrive,
    corrected_shard,
    is_there,
    job_now,
    of,
    only,
    samples_of,
    shard,
)
from workers.datasets import read_parts
from workers.resources import Resources

pytestmark = pytest.mark.usefixtures("_generating")


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


async def test_near_duplicates_are_on_record(store: Store, resources: Resources) -> None:
    same = np.repeat(samples_of("bee", 1), 5, axis=0)
    await arrive(resources, [shard(0), shard(1), shard(2).model_copy(update={"samples": same})])

    kept = await store.get(RehearsalSet, "j-1.1")
    assert kept.near_duplicates["bee"] == 1
    assert kept.near_duplicates["ant"] < 1


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
