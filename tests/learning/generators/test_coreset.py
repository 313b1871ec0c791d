"""Rankings of samples: what comes first under each of them."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.base import Task
from learning.generators.coreset import Choice, rankings
from tests.learning.generators.tasks import digits, grey


def first(task: Task, choice: Choice, count: int, label: int = 0, seed: int = 0) -> list[int]:
    return list(islice(dict(rankings(task, choice, seed))[label], count))


def blobs() -> tuple[Task, NDArray[np.int64]]:
    """One class of three blobs, of 140, 40 and 20 samples; and the blob of each sample."""
    blob = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [140, 40, 20]))
    places = np.array([[0, 0], [8, 0], [0, 8]])[blob]
    samples = places + np.random.default_rng(0).normal(0, 0.5, (200, 2))
    return Task(samples.astype(np.float32), np.zeros(200, np.int64), 1), blob


def line() -> Task:
    """Two classes on a line: 0 to 9, and 20 to 29."""
    samples = np.concatenate([np.arange(10), np.arange(20, 30)])[:, None].astype(np.float32)
    return Task(samples, np.repeat([0, 1], 10), 2)


@pytest.mark.parametrize("choice", ["random", "herding", "diverse", "typical", "hardest"])
def test_every_ranking_has_every_sample_once(choice: Choice) -> None:
    task = grey()
    for label, ranking in rankings(task, choice, 0):
        assert sorted(ranking) == list(range(len(task.of_class(label))))


@pytest.mark.parametrize("choice", ["random", "herding", "diverse", "typical", "hardest"])
def test_a_ranking_depends_on_its_arguments_alone(choice: Choice) -> None:
    task = digits(classes=2)
    before = first(task, choice, 15)
    np.random.seed(1)  # the legacy state is what must not matter
    assert first(task, choice, 15) == before


def test_another_seed_makes_another_random_choice() -> None:
    assert first(digits(2), "random", 15, seed=0) != first(digits(2), "random", 15, seed=1)


def test_herding_takes_from_each_part_of_a_class_by_its_share() -> None:
    task, blob = blobs()
    chosen = blob[first(task, "herding", 20)]
    counts = np.bincount(chosen, minlength=3)
    assert abs(counts - [14, 4, 2]).max() <= 1


def test_diverse_samples_reach_every_part_of_a_class_first() -> None:
    task, blob = blobs()
    assert set(blob[first(task, "diverse", 3)].tolist()) == {0, 1, 2}


def test_typical_samples_are_nearest_to_the_mean() -> None:
    assert set(first(line(), "typical", 2)) == {4, 5}


def test_hardest_samples_are_nearest_to_another_class() -> None:
    assert first(line(), "hardest", 3, label=0) == [9, 8, 7]
    assert first(line(), "hardest", 3, label=1) == [0, 1, 2]


def test_hardest_needs_another_class() -> None:
    with pytest.raises(ValueError, match="'hardest' needs a task of two classes or more"):
        first(blobs()[0], "hardest", 1)
