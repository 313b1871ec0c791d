"""Every request that cannot be done is refused before anything is written, and says which field is wrong."""

from datetime import UTC, datetime

import numpy as np
import pytest

from control.sources import Labelled, Splits
from control.verbs import datasets, requests
from control.verbs.errors import Invalid
from schemas.documents import Dataset
from schemas.job import FitSpec
from store.base import Store, change
from tests.control.world import NEW, OLD, fitted, rehearsal, splits, version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fit(**fields: object) -> FitSpec:
    base = {"model": "digits", "generator": "gmm", "data": "zero-to-four"}
    return FitSpec.model_validate(base | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"generator": "gmm", "classes": OLD},
        {"generator": "gmm", "classes": OLD + NEW},  # the new ones are fitted by the job itself
        {"base": 1, "probe": "digits", "architecture": "dense8"},
        {"model": "another", "architecture": "dense16"},
        {"new_classes": ("5", "6"), "generator": "gmm", "options": {"components": 2}},
    ],
)
async def test_a_request_that_fits_is_accepted(world: Store, fields: dict[str, object]) -> None:
    await requests.check(world, rehearsal(**fields))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"new_data": "nope"}, "new_data: no data set 'nope'; there are digits, .*rdg data add"),
        ({"new_classes": ("5", "zebra")}, "new_classes: .*'zebra'.*there are 5, 6"),
        ({"base": 7}, "base: .*no version 7.*digits@1"),
        ({"architecture": "dense9"}, "architecture: digits@1 has its own"),
        ({"model": "other", "architecture": "conv4 wool"}, "architecture: .*wool"),
        ({"generator": "foo"}, "generator: 'foo' is unknown.*original, gmm"),
        ({"generator": "gmm", "options": {"components": -3}}, "options: gmm: .*'components'"),
        ({"generator": "gmm", "options": {"colour": 1}}, "options: gmm: .*'colour' is unknown"),
        ({"options": {"components": 3}}, "options: components given without a generator"),
        ({"training": {"new_loss": "new"}}, "training.new_loss"),
        (
            {"model": "other", "new_data": "rows", "training": {"augmentation": "shift"}},
            "training.augmentation: .*'shift' is for images",
        ),
        ({"generator": "gmm", "classes": ("zebra",)}, "classes: no gmm .*'zebra'.*generator fit"),
        ({"generator": "ga", "classes": ("0",)}, "classes: no ga .*there are none yet"),
        ({"generator": "gmm", "classes": ("5",), "fit_new": False}, "classes: no gmm .*'5'"),
        ({"probe": "nope"}, "probe: no data set 'nope'"),
        ({"probe": "trainonly"}, "probe: .*no test split"),
        ({"probe": "large"}, "probe: .*8x8.*4x4"),
        ({"probe": "letters"}, "probe: .*none of the model's classes"),
        ({"new_data": "large"}, "new_data: .*8x8.*digits@1 takes uint8 samples of 4x4"),
        ({"new_data": "rows"}, "new_data: .*float32"),
    ],
)
async def test_a_request_that_does_not_fit_names_its_field(
    world: Store, fields: dict[str, object], says: str
) -> None:
    await datasets.add(world, "trainonly", Splits(splits(NEW).train), "made")
    await datasets.add(world, "large", splits(NEW, side=8), "made")
    await datasets.add(world, "letters", splits(("a", "b")), "made")
    rows = Labelled(np.ones((5, 4), dtype=np.float32), np.arange(5), NEW)
    await datasets.add(world, "rows", Splits(rows), "made")

    with pytest.raises(Invalid, match=says):
        await requests.check(world, rehearsal(**fields))


async def test_a_class_without_training_samples_cannot_be_learned(world: Store) -> None:
    await change(
        world, Dataset, "five-to-nine", lambda d: d.model_copy(update={"train": d.train[1:]})
    )
    with pytest.raises(Invalid, match="no training samples of '5'"):
        await requests.check(world, rehearsal())


async def test_a_generator_fitted_on_other_samples_cannot_rehearse(world: Store) -> None:
    newer = fitted(id="gmm-j-made-2", shape=(8, 8), classes=("0",))
    await world.insert(newer)
    with pytest.raises(Invalid, match="gmm-j-made-2 makes uint8 samples of 8x8"):
        await requests.check(world, rehearsal(generator="gmm", classes=("0",)))


@pytest.mark.parametrize(
    "fields", [{"classes": ("0",)}, {"classes": ("1",), "new_data": "zero-to-four"}]
)
async def test_no_fit_that_a_class_is_rehearsed_from_is_of_another_form(
    world: Store, fields: dict[str, object]
) -> None:
    larger = fitted(id="gmm-j-made-0", shape=(8, 8), data="large", classes=("0",), created=NOON)
    await world.insert(larger)

    with pytest.raises(Invalid, match="gmm-j-made-0 makes uint8 samples of 8x8") as refusal:
        await requests.check(world, rehearsal(generator="gmm", **fields))
    assert "--fits newest" in refusal.value.remedy
    await requests.check(world, rehearsal(generator="gmm", fits="newest", **fields))


@pytest.mark.parametrize("fields", [{"fits": "newest"}, {"count": 99}])
async def test_a_class_that_the_job_alone_fits_needs_no_earlier_fit_of_that_form(
    world: Store, fields: dict[str, object]
) -> None:
    await world.insert(fitted(id="gmm-j-made-2", shape=(8, 8), data="large", classes=("5",)))
    asked = rehearsal(generator="gmm", classes=("5",), **fields)

    await requests.check(world, asked)
    with pytest.raises(Invalid, match="gmm-j-made-2"):
        await requests.check(world, asked.model_copy(update={"new_classes": ("6",)}))


async def test_a_named_base_counts_instead_of_the_released_version(world: Store) -> None:
    await world.insert(version(2, shape=(8, 8)))
    await datasets.add(world, "large", splits(NEW, side=8), "made")

    await requests.check(world, rehearsal(base=2, new_data="large"))
    with pytest.raises(Invalid, match="digits@2 takes"):
        await requests.check(world, rehearsal(base=2))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": "nope"}, "data: no data set"),
        ({"classes": ("9",)}, "classes: .*'9'"),
        ({"generator": "foo"}, "generator: 'foo' is unknown"),
        ({"options": {"components": -1}}, "options: gmm"),
        (
            {"classes": ("0",), "delete_originals": True},
            "delete_originals: 1, 2, 3, 4 would be lost",
        ),
    ],
)
async def test_a_fitting_that_does_not_fit_names_its_field(
    world: Store, fields: dict[str, object], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        await requests.check(world, fit(**fields))


async def test_a_fitting_that_fits_is_accepted(world: Store) -> None:
    await requests.check(world, fit(delete_originals=True))
