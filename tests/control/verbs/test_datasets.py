from pathlib import Path

import numpy as np
import pytest

from control.sources import Labelled, Splits
from control.verbs import datasets
from control.verbs.errors import Invalid, Refused
from learning.bundle import unpack
from schemas.documents import Dataset
from store.base import Store
from store.errors import NotFound
from tests.control.world import labelled, splits


async def test_what_is_added_can_be_read_back_by_class(store: Store) -> None:
    given = splits(("cat", "dog"))

    dataset = await datasets.add(store, "pets", given, "made")

    assert await datasets.show(store, "pets") == dataset
    dog = next(part for part in dataset.train if part.target == "dog")
    samples = unpack(await store.get_part(dog.digest))["samples"]
    assert np.array_equal(samples, given.train.samples[given.train.labels == 1])
    assert [part.count for part in dataset.test] == [1, 1]


async def test_a_large_class_is_cut_into_parts_of_bounded_size(store: Store) -> None:
    samples = np.zeros((9, 1024, 1024), dtype=np.uint8)
    given = Splits(Labelled(samples, np.zeros(9, dtype=np.int64), ("only",)))
    told: list[tuple[int, int | None]] = []

    dataset = await datasets.add(
        store, "large", given, "made", lambda done, total: told.append((done, total))
    )

    assert len(dataset.train) == 2
    assert sum(part.count for part in dataset.train) == 9
    assert all(part.size_bytes <= datasets.PART_BYTES for part in dataset.train)
    assert told[-1] == (samples.nbytes, samples.nbytes)


async def test_adding_the_same_again_returns_what_is_there(store: Store) -> None:
    first = await datasets.add(store, "pets", splits(("cat", "dog")), "made")

    again = await datasets.add(store, "pets", splits(("cat", "dog")), "elsewhere")

    assert again == first


async def test_a_taken_name_is_refused_and_nothing_is_written(store: Store) -> None:
    first = await datasets.add(store, "pets", splits(("cat", "dog")), "made")

    with pytest.raises(Refused, match="rdg data delete pets"):
        await datasets.add(store, "pets", splits(("cat", "dog"), per_class=5), "made")

    assert await datasets.show(store, "pets") == first
    parts = {part.digest for part in (*first.train, *first.test)}
    assert await store.drop_parts("data/pets") == len(parts)


async def test_an_interrupted_addition_is_finished_by_repeating_it(store: Store) -> None:
    given = splits(("cat", "dog"))
    complete = await datasets.add(store, "pets", given, "made")
    await store.delete(Dataset, "pets")  # as if it was killed before the last step

    again = await datasets.add(store, "pets", given, "made")

    assert again.train == complete.train


async def test_delete_removes_the_samples_and_what_an_interrupted_addition_left(
    store: Store,
) -> None:
    dataset = await datasets.add(store, "pets", splits(("cat", "dog")), "made")
    await store.delete(Dataset, "pets")

    await datasets.delete(store, "pets")

    with pytest.raises(NotFound):
        await store.get_part(dataset.train[0].digest)
    with pytest.raises(NotFound, match="pets"):
        await datasets.delete(store, "pets")


@pytest.mark.parametrize("name", ["", "Upper", "a b", "-a", "a" * 64])
async def test_a_name_that_cannot_be_used_is_refused(store: Store, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        await datasets.add(store, name, splits(("cat",)), "made")
    assert await datasets.page(store) == []


async def test_a_class_that_cannot_be_named_on_the_wire_is_refused(store: Store) -> None:
    given = Splits(labelled(("a,b", "c")))
    with pytest.raises(Invalid, match="a,b"):
        await datasets.add(store, "pets", given, "made")


async def test_a_subset_is_numbered_in_the_order_asked_for(tmp_path: Path) -> None:
    given = labelled(("a", "b", "c"))
    np.savez(
        tmp_path / "own.npz", samples=given.samples, labels=given.labels, classes=["a", "b", "c"]
    )

    origin = datasets.Origin(str(tmp_path / "own.npz"), ("c", "a"))
    found = await datasets.read(origin, None, tmp_path)

    assert found.train.classes == ("c", "a")
    assert np.array_equal(
        found.train.samples[found.train.labels == 0], given.samples[given.labels == 2]
    )


@pytest.mark.parametrize(
    ("source", "classes", "problem"),
    [("nowhere", (), "no known source"), ("own.npz", ("z",), "no class is named 'z'")],
)
async def test_a_source_that_cannot_be_used_says_why(
    tmp_path: Path, source: str, classes: tuple[str, ...], problem: str
) -> None:
    given = labelled(("a", "b"))
    np.savez(tmp_path / "own.npz", samples=given.samples, labels=given.labels)

    with pytest.raises(Invalid, match=problem):
        await datasets.read(datasets.Origin(str(tmp_path / source), classes), None, tmp_path)
