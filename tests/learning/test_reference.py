"""What is kept of real data is enough to compare with, small, and nobody's record."""

from dataclasses import replace

import numpy as np
import pytest

from learning.bundle import pack, unpack
from learning.generators.base import Task
from learning.reference import CELLS, FEATURES, LEAST, WITHIN, Reference, features, nearest_cells
from learning.scaling import Scaling
from tests.learning.generators.tasks import colour, digits, grey, measured, tabular


@pytest.mark.parametrize("task", [grey(), colour(), measured(), tabular(), digits()])
def test_features_are_few_for_every_kind_of_data(task: Task) -> None:
    found = features(task.samples, Scaling.of(task.samples))
    assert found.shape[0] == len(task.samples)
    assert found.shape[1] <= FEATURES


@pytest.mark.parametrize("channels", [31, 33, 64, 500])
def test_features_of_many_channels_are_few_too(channels: int) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 7, 7, channels)).astype(np.float32)
    found = features(maps, Scaling.of(maps))
    assert found.shape == (3, min(channels, FEATURES))


def test_features_of_many_channels_are_means_of_neighbours() -> None:
    maps = np.zeros((1, 2, 2, 64), np.float32)
    maps[..., 62:] = [1, 3]
    unscaled = Scaling(np.zeros(1, np.float32), np.ones(1, np.float32))
    assert features(maps, unscaled)[0].tolist() == [*[0] * 31, 2]


def test_features_of_images_are_means_of_their_blocks() -> None:
    images = np.zeros((1, 10, 10), np.uint8)
    images[0, :2, 8:] = 255
    unscaled = Scaling(np.zeros(1, np.float32), np.ones(1, np.float32))
    assert features(images, unscaled)[0].tolist() == [0, 0, 0, 0, 1, *[0] * 20]


def test_a_wide_table_is_averaged_over_runs_of_features() -> None:
    wide = np.repeat(np.arange(32, dtype=np.float32), 3)[np.newaxis]
    unscaled = Scaling(np.zeros(96, np.float32), np.ones(96, np.float32))
    assert features(wide, unscaled)[0].tolist() == list(range(32))


def test_a_class_of_grey_images_takes_little_more_than_a_kilobyte() -> None:
    size = len(pack(Reference.of(digits()).arrays()))
    assert size < 10 * 1300


def test_it_comes_back_from_its_bytes() -> None:
    reference = Reference.of(digits())
    again = Reference.from_arrays(unpack(pack(reference.arrays())))
    assert pack(again.arrays()) == pack(reference.arrays()) == pack(Reference.of(digits()).arrays())


def test_arrays_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="no centre, spread, means"):
        Reference.from_arrays({"radii": np.zeros(1)})


def test_cells_hold_the_class_between_them() -> None:
    task = digits()
    known = Reference.of(task).of_class(3)
    assert known is not None
    rows = features(task.of_class(3), known.scaling)
    owners, distances = nearest_cells(rows, known.cells)

    assert known.masses.sum() == pytest.approx(1)
    assert np.bincount(owners) / len(rows) == pytest.approx(known.masses, abs=0.02)
    assert np.mean(distances <= known.radii[owners]) == pytest.approx(WITHIN, abs=0.04)
    assert known.mean == pytest.approx(rows.mean(axis=0), abs=1e-2)
    assert known.covariance == pytest.approx(np.cov(rows.T), abs=1e-2)


@pytest.mark.parametrize("count", [LEAST, 2 * LEAST, 45, 90])
def test_no_cell_stands_for_fewer_than_ten_samples(count: int) -> None:
    rng = np.random.default_rng(count)
    samples = rng.normal(size=(count, 3)).astype(np.float32)
    samples[0] += 50  # one far from the others: k-means alone would give it a cell of its own
    known = Reference.of(Task(samples, np.zeros(count, np.int64), 1)).of_class(0)

    assert known is not None
    assert known.masses.min() * count > LEAST - 0.5
    assert 1 <= len(known.cells) <= CELLS


def test_a_class_of_fewer_than_ten_samples_is_not_described() -> None:
    task = grey(2 * LEAST)
    few = replace(task, samples=task.samples[:-1], labels=task.labels[:-1])
    assert few.classes() == [2, 5]

    reference = Reference.of(few)

    assert reference.of_class(2) is not None
    assert [reference.of_class(label) for label in (0, 5)] == [None, None]
    assert not any(
        array[5].any()
        for name, array in reference.arrays().items()
        if name not in ("centre", "spread")
    )


def test_samples_that_are_all_the_same_are_described() -> None:
    task = Task(np.full((20, 4), 7, np.float32), np.zeros(20, np.int64), 1)
    known = Reference.of(task).of_class(0)
    assert known is not None
    assert known.radii.min() > 0
