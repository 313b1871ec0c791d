"""How alike each class of a set is to the data of its fits, and when nothing is said of it."""

from typing import Any

import numpy as np
import pytest

from schemas.documents import Fitted, Job, RehearsalSet
from schemas.flow import RehearsalSetReady, SamplesLabelled
from schemas.names import set_of
from store.base import Store, change
from tests.workers.scene import (
    KNOWN,
    SHARDS,
    add_fitted,
    add_part,
    add_reference,
    arrive,
    corrected_shard,
    only,
    order,
    samples_of,
    shard,
)
from workers.collection import Shard
from workers.resources import Resources

pytestmark = pytest.mark.usefixtures("_generating")


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
