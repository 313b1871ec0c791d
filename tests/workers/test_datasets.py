"""Real data out of the store, as arrays with labels."""

import numpy as np
import pytest

from schemas.documents import Dataset, Job
from schemas.job import Spec
from store.base import Store
from store.errors import NotFound
from tests.workers.scene import KNOWN, add_dataset, add_job, add_part, fit, rehearsal, samples_of
from workers.datasets import pin, pinned, read_parts
from workers.resources import Refusal


async def test_labels_are_positions_in_the_classes_asked_for(store: Store) -> None:
    dataset = await add_dataset(store, classes=("ant", "bee", "cat"), count=2)

    samples, labels = await read_parts(store, dataset.train, ("cat", "ant"))

    assert labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(
        samples, np.concatenate([samples_of("ant", 2), samples_of("cat", 2)])
    )


async def test_the_test_split_is_another(store: Store) -> None:
    dataset = await add_dataset(store, count=2)

    samples, labels = await read_parts(store, dataset.test, ("ant",))

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


async def pinned_job(store: Store, spec: Spec) -> Job:
    job = await add_job(store, spec)
    return job.model_copy(update={"data": await pin(store, job)})


async def add_anew(store: Store, name: str = "new", count: int = 12, **changes: object) -> Dataset:
    """Delete a data set, and add one under its name."""
    await store.delete(Dataset, name)
    await store.drop_parts(f"data/{name}")
    dataset = await add_dataset(store, name, count=count)
    return await store.replace(dataset.model_copy(update=changes))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (fit(), {"new"}),
        (rehearsal(), {"new"}),
        (rehearsal(probe="probe"), {"new", "probe"}),
    ],
)
async def test_every_data_set_of_a_job_is_pinned(store: Store, spec: Spec, names: set[str]) -> None:
    for name in ("new", "probe", "other"):
        await add_dataset(store, name)

    assert set((await pinned_job(store, spec)).data) == names


async def test_data_that_is_as_it_was_is_given_out(store: Store) -> None:
    await add_dataset(store)
    job = await pinned_job(store, fit())

    again = await add_anew(store)

    assert await pinned(store, job, "new") == again


async def test_other_data_under_the_name_is_refused_with_the_remedy(store: Store) -> None:
    dataset = await add_dataset(store)
    job = await pinned_job(store, fit())

    for changes in (
        {"train": dataset.train[:1]},
        {"test": dataset.test[1:]},
        {"train": dataset.train + dataset.test, "test": ()},
        {"train": tuple(part.model_copy(update={"target": "ant"}) for part in dataset.train)},
        {"classes": KNOWN[::-1]},
    ):
        await add_anew(store, **changes)
        with pytest.raises(Refusal, match=r"new: other data was added .* `rdg job retry j-1`"):
            await pinned(store, job, "new")


async def test_a_job_of_an_earlier_release_is_given_what_there_is(store: Store) -> None:
    dataset = await add_dataset(store)
    job = await add_job(store, fit(), state="fitting")

    assert await pinned(store, job, "new") == dataset
