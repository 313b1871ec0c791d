"""Real data out of the store, as arrays with labels."""

import numpy as np
import pytest

from store.base import Store
from store.errors import NotFound
from tests.workers.scene import add_dataset, add_part, samples_of
from workers.datasets import read_dataset, read_parts
from workers.resources import Refusal


async def test_labels_are_positions_in_the_classes_asked_for(store: Store) -> None:
    await add_dataset(store, classes=("ant", "bee", "cat"), count=2)

    samples, labels = await read_dataset(store, "new", ("cat", "ant"))

    assert labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(
        samples, np.concatenate([samples_of("ant", 2), samples_of("cat", 2)])
    )


async def test_the_test_split_is_another(store: Store) -> None:
    await add_dataset(store, count=2)

    samples, labels = await read_dataset(store, "new", ("ant",), "test")

    assert len(samples) == len(labels) == 4
    np.testing.assert_array_equal(samples, samples_of("ant", 4, seed=1))


async def test_a_class_in_several_parts_is_read_whole_and_an_empty_part_not_at_all(
    store: Store,
) -> None:
    parts = [await add_part(store, "ant", count, "data/x", seed=count) for count in (2, 0, 3)]
    await store.drop_parts("data/x", parts[1].digest)

    samples, labels = await read_parts(store, parts, ("ant",))

    assert len(samples) == 5
    assert labels.tolist() == [0] * 5


async def test_no_sample_of_any_class_is_refused_with_their_names(store: Store) -> None:
    dataset = await add_dataset(store)

    with pytest.raises(Refusal, match="no samples of cat, dog"):
        await read_parts(store, dataset.train, ("cat", "dog"))


async def test_data_that_was_deleted_is_not_found(store: Store) -> None:
    dataset = await add_dataset(store)
    await store.drop_parts("data/new")

    with pytest.raises(NotFound):
        await read_parts(store, dataset.train, ("ant",))
