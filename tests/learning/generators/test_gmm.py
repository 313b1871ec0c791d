"""What is particular to the mixture: quality, bytes, grey values."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from learning.generators.base import Arrays, Order, Task
from learning.generators.gmm import generator, sample
from learning.options import Options
from tests.learning.generators.tasks import digits, fitted, grey, tabular


def halves(task: Task) -> tuple[Task, Task]:
    return tuple(  # type: ignore[return-value]  # of two
        Task(task.samples[rows], task.labels[rows], task.n_classes)
        for rows in (slice(0, None, 2), slice(1, None, 2))
    )


def drawn(state: Arrays, label: int, count: int, seed: int = 0) -> NDArray[np.uint8]:
    return sample(Order(state, label, count, seed, {})).samples


def accuracy(samples: NDArray[np.uint8], labels: NDArray[np.int64], test: Task) -> float:
    model = LogisticRegression(max_iter=2000)
    model.fit(samples.reshape(len(samples), -1) / 255, labels)
    return float(model.score(test.samples.reshape(len(test.samples), -1) / 255, test.labels))


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_a_classifier_learns_real_digits_from_drawn_ones(covariance: str) -> None:
    train, test = halves(digits())
    options: Options = {"components": 3, "dimensions": 20, "covariance": covariance}
    state = fitted(generator, train, options)
    samples = np.concatenate([drawn(state, label, 150) for label in range(10)])
    assert accuracy(samples, np.repeat(np.arange(10), 150), test) > 0.9


def test_lookup_restores_the_grey_values_of_the_class() -> None:
    task = digits(classes=4)
    real = histogram(task.of_class(3))
    distance = {
        on: abs(histogram(drawn(fitted(generator, task, {"lookup": on}), 3, 500)) - real).sum()
        for on in (True, False)
    }
    assert distance[True] < 0.1
    assert distance[True] < distance[False] / 3


def histogram(samples: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(samples.ravel(), minlength=256) / samples.size)


def test_mean_and_spread_of_each_feature_survive_whatever_its_unit() -> None:
    task = tabular()
    real = task.of_class(1)
    samples = drawn(fitted(generator, task, {"components": 1}), 1, 4000)
    spread = real.std(axis=0)
    assert (abs(samples.mean(axis=0) - real.mean(axis=0)) <= 0.2 * spread).all()
    assert (abs(samples.std(axis=0) - spread) <= 0.2 * spread).all()


def test_float16_halves_the_bytes_of_a_class_and_hardly_changes_it() -> None:
    states = {kind: fitted(generator, digits(classes=1), {"storage": kind}) for kind in KINDS}
    half, full = (sum(states[kind][f"0/{name}"].nbytes for name in LARGE) for kind in KINDS)
    assert half * 2 == full
    difference = drawn(states["float16"], 0, 100) - drawn(states["float32"], 0, 100).astype(float)
    assert abs(difference).mean() < 2


KINDS, LARGE = ("float16", "float32"), ("basis", "means", "factors")


@pytest.mark.parametrize(
    ("covariance", "factors"), [("full", (3, 21)), ("tied", (1, 21)), ("diag", (3, 6))]
)
def test_covariances_are_kept_packed(covariance: str, factors: tuple[int, int]) -> None:
    options: Options = {"components": 3, "dimensions": 6, "covariance": covariance}
    assert fitted(generator, grey(), options)["2/factors"].shape == factors


def test_a_single_sample_is_repeated() -> None:
    task = grey(1, classes=(2,))
    samples = drawn(fitted(generator, task, {"lookup": False}), 2, 3)
    np.testing.assert_array_equal(samples, np.repeat(task.samples, 3, axis=0))
