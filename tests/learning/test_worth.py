"""What a kilobyte of a class teaches: classifiers that learn from what a generator gives alone, tested on real data.

The data are scikit-learn's digits as they are, which deflate to 0.4 of their bytes, and as a camera with noise sees
them, which deflate to 0.85; where originals are to be few, enlarged and noisier. All, and every fit, come from fixed
seeds; three fits are averaged.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from learning import generators
from learning.generators.base import Order, Task
from learning.options import Options
from tests.learning.generators.tasks import digits, drawn, fitted

SEEDS = range(3)
COUNT = 60  # samples of a class, at most; a kilobyte of originals holds 16 to 40
NOISE = 25.0  # standard deviation, in grey values

ARMS: dict[str, tuple[str, Options]] = {
    "gmm": ("gmm", {"budget_kb": 1}),
    "original": ("original", {"budget_kb": 1, "choose": "random", "compress": False}),
    "compressed": ("original", {"budget_kb": 1, "choose": "random"}),
    "herding": ("original", {"budget_kb": 1}),
    "ga": ("ga", {"start": "noise"}),  # keeps nothing, and asks the deployed model
    "ga, mean": ("ga", {"start": "mean"}),
    "ga, statistics": ("ga", {}),
}
SCARCE: dict[str, tuple[str, Options]] = {  # two kilobytes of larger images: a dozen originals
    "gmm": ("gmm", {"budget_kb": 2}),
    "original": ("original", {"budget_kb": 2}),
    "mix": ("mix", {"budget_kb": 2}),
}


def seen(noise: float, enlarged: int = 1) -> tuple[Task, Task]:
    """Return the digits, to learn from and to test on, as a camera with that noise sees them."""
    task = digits()
    large = np.kron(task.samples * (255 / task.samples.max()), np.ones((1, enlarged, enlarged)))
    grain = np.random.default_rng(0).normal(0, noise, large.shape)
    samples = np.clip(np.rint(large + grain), 0, 255)
    is_test = np.arange(len(samples)) % 3 == 0
    train, test = (
        Task(samples[rows].astype(np.uint8), task.labels[rows], 10) for rows in (~is_test, is_test)
    )
    return train, test


def flat(samples: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(samples.reshape(len(samples), -1) / 255)


def confidence(
    deployed: LogisticRegression, label: int
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Return what a search asks: how sure the deployed model is that samples are of the class."""
    return lambda samples: np.asarray(deployed.predict_proba(flat(samples))[:, label])


def taught(arm: tuple[str, Options], train: Task, test: Task, seed: int) -> float:
    """Return the accuracy of a classifier that learned from what the arm gives."""
    name, options = arm
    generator = generators.load(name)
    state = fitted(generator, train, options, seed)
    deployed = LogisticRegression(max_iter=2000).fit(flat(train.samples), train.labels)
    given = [
        drawn(generator, Order(state, label, COUNT, seed, options), confidence(deployed, label))
        for label in range(10)
    ]
    labels = np.repeat(np.arange(10), [len(own) for own in given])
    learned = SVC().fit(flat(np.concatenate(given)), labels)
    return float(learned.score(flat(test.samples), test.labels))


def accuracies(
    arms: Mapping[str, tuple[str, Options]], train: Task, test: Task
) -> Mapping[str, float]:
    return {
        name: float(np.mean([taught(arm, train, test, seed) for seed in SEEDS]))
        for name, arm in arms.items()
    }


@pytest.fixture(scope="module")
def clean() -> Mapping[str, float]:
    return accuracies(ARMS, *seen(noise=0))


@pytest.fixture(scope="module")
def noisy() -> Mapping[str, float]:
    return accuracies(ARMS, *seen(NOISE))


def test_a_kilobyte_of_mixture_teaches_more_than_one_of_originals(
    clean: Mapping[str, float], noisy: Mapping[str, float]
) -> None:
    for found in (clean, noisy):
        assert found["gmm"] > 0.95
        assert found["gmm"] > found["original"] + 0.02


def test_where_samples_hardly_compress_the_mixture_is_ahead_of_compressed_ones_however_chosen(
    noisy: Mapping[str, float],
) -> None:
    assert noisy["gmm"] > noisy["compressed"] + 0.02
    assert noisy["gmm"] > noisy["herding"]


def test_where_they_compress_well_the_mixture_is_not_behind_them(
    clean: Mapping[str, float],
) -> None:
    assert clean["gmm"] > clean["compressed"] - 0.01
    assert clean["gmm"] > clean["herding"] - 0.02


def test_originals_chosen_by_herding_teach_more_than_random_ones(
    clean: Mapping[str, float], noisy: Mapping[str, float]
) -> None:
    assert clean["herding"] > clean["compressed"]
    assert noisy["herding"] > noisy["compressed"] + 0.01


def test_a_search_from_noise_teaches_far_less(
    clean: Mapping[str, float], noisy: Mapping[str, float]
) -> None:
    for found in (clean, noisy):
        assert found["ga"] < found["gmm"] - 0.05


def test_a_search_teaches_more_the_more_of_the_class_it_starts_from(
    clean: Mapping[str, float], noisy: Mapping[str, float]
) -> None:
    for found in (clean, noisy):
        assert found["ga, statistics"] > found["ga, mean"] + 0.03
        assert found["ga, mean"] > found["ga"] + 0.01


def test_a_mix_teaches_as_much_as_the_better_of_its_parts_where_originals_are_few() -> None:
    found = accuracies(SCARCE, *seen(2 * NOISE, enlarged=2))

    assert found["mix"] > found["original"] + 0.02
    assert found["mix"] > found["gmm"] - 0.015
