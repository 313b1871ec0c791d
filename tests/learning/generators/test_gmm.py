"""What is particular to the mixture: quality, bytes, grey values."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from learning.generators.base import Arrays, Order, Task
from learning.generators.gmm import generator, sample
from learning.options import Options
from tests.learning.generators.tasks import colour, digits, fitted, grey, measured, tabular


def halves(task: Task) -> tuple[Task, Task]:
    return tuple(  # type: ignore[return-value]  # of two
        Task(task.samples[rows], task.labels[rows], task.n_classes)
        for rows in (slice(0, None, 2), slice(1, None, 2))
    )


def wide() -> Task:
    """Features (60, 100)."""
    rng = np.random.default_rng(5)
    return Task(rng.normal(size=(60, 100)).astype(np.float32), np.arange(60) % 2, 2)


def drawn(state: Arrays, label: int, count: int, seed: int = 0) -> NDArray[np.uint8]:
    return sample(Order(state, label, count, seed, {})).samples


def accuracy(samples: NDArray[np.uint8], labels: NDArray[np.int64], test: Task) -> float:
    model = LogisticRegression(max_iter=2000)
    model.fit(samples.reshape(len(samples), -1) / 255, labels)
    return float(model.score(test.samples.reshape(len(test.samples), -1) / 255, test.labels))


@pytest.mark.parametrize("covariance", ["low_rank", "full", "tied", "diag"])
def test_a_classifier_learns_real_digits_from_drawn_ones(covariance: str) -> None:
    train, test = halves(digits())
    options: Options = {"components": 3, "dimensions": 40, "covariance": covariance}
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
    states = {
        kind: fitted(generator, digits(classes=1), {"storage": kind, "covariance": "full"})
        for kind in KINDS
    }
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


@pytest.mark.parametrize(("covariance", "within"), [("low_rank", 8), ("full", 0)])
def test_a_single_sample_is_repeated_but_for_rounding(covariance: str, within: int) -> None:
    task = grey(1, classes=(2,))
    samples = drawn(fitted(generator, task, {"lookup": False, "covariance": covariance}), 2, 3)
    apart = samples.astype(int) - task.samples
    assert abs(apart).max() <= within


@pytest.mark.parametrize("make", [grey, colour, measured, tabular, wide])
def test_the_budget_is_never_exceeded(make: Callable[[], Task]) -> None:
    state = fitted(generator, make(), {"budget_kb": 2})
    for label in make().classes():
        kept = sum(array.nbytes for name, array in state.items() if name.startswith(f"{label}/"))
        assert kept <= 2048


def test_a_budget_below_the_mean_of_a_class_is_refused() -> None:
    huge = Task(np.random.default_rng(0).random((9, 90, 90, 3), np.float32), np.zeros(9, int), 1)
    with pytest.raises(ValueError, match=r"option 'budget_kb' must be \d+ higher"):
        fitted(generator, huge, {"budget_kb": 1})


@pytest.mark.parametrize("shape", [(1, 17), (17, 1), (1, 1), (5, 7, 1), (1,), (300,)])
@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_samples_of_any_shape_and_number_are_enough(shape: tuple[int, ...], n: int) -> None:
    rng = np.random.default_rng(0)
    task = Task(rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.zeros(n, np.int64), 1)
    samples = drawn(fitted(generator, task, {}), 0, 4)
    assert samples.shape == (4, *shape)


def test_features_of_extreme_units_survive() -> None:
    rng = np.random.default_rng(0)
    units = np.array([1e-30, 1e30, 0], np.float32)
    table = rng.normal(5, 1, (200, 3)).astype(np.float32) * units
    samples = drawn(fitted(generator, Task(table, np.zeros(200, int), 1), {}), 0, 2000)
    np.testing.assert_allclose(samples.mean(axis=0), table.mean(axis=0), rtol=0.05)


@pytest.mark.parametrize("covariance", ["low_rank", "full", "tied", "diag"])
def test_a_feature_that_is_constant_in_a_class_is_drawn_as_that_constant(covariance: str) -> None:
    table = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    labels = np.arange(80) % 2
    table[:, 3] = np.where(labels, 0.1, 900)
    state = fitted(generator, Task(table, labels, 2), {"covariance": covariance})
    for label, constant in ((0, 900), (1, 0.1)):
        samples = drawn(state, label, 50)
        assert set(samples[:, 3]) == {np.float32(constant)}
        assert samples[:, :3].std(axis=0).min() > 0.3


PAUSED = """
import numpy as np
from learning.generators.base import Task
from learning.generators.gmm import fit

rng = np.random.default_rng(0)
samples = rng.integers(0, 256, (3000, 28, 28), dtype=np.uint8)
task = Task(samples, np.arange(3000) % 2, 2)
options = {"covariance": "full", "components": 2, "dimensions": 20}
whole = fit(task, options, 0, None, lambda: False).state
half = fit(task, options, 0, None, lambda: True).state
paused = fit(task, options, 0, half, lambda: True).state
print([name for name in whole if whole[name].tobytes() != paused[name].tobytes()])
"""


def test_the_first_fit_of_a_process_gives_the_bytes_of_a_paused_one() -> None:
    """What a fit imports on its way has to obey the limit on threads too, which change sums."""
    threads = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-c", PAUSED]
    ran = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0), ran.stderr


@pytest.mark.parametrize("options", [{}, {"covariance": "diag"}, {"epsilon": 1}])
def test_large_images_take_little_memory(options: Options) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 3), dtype=np.uint8)
    fitted(generator, grey(), options)  # what is imported counts for nobody
    tracemalloc.start()
    try:
        fitted(generator, Task(images, np.zeros(20, np.int64), 1), options)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"budget_kb": 4, "covariance": "full"}, "'budget_kb' needs covariance 'low_rank'"),
        ({"budget_kb": 4, "epsilon": 1}, "'epsilon' takes neither"),
        ({"covariance": "tied", "epsilon": 1}, "'epsilon' takes neither"),
        ({"epsilon": -1}, "'epsilon' must be between"),
        ({"epsilon": 1e-16}, "'epsilon' must be 0 or at least 0.001"),
        ({"epsilon": 1, "delta": 0}, "'delta' must be between"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: Options, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        generator.validate(options)


def test_private_parameters_need_grey_values() -> None:
    with pytest.raises(ValueError, match="'epsilon' needs uint8 samples"):
        fitted(generator, tabular(), {"epsilon": 1})


def test_private_tables_of_very_many_features_are_refused_with_the_remedy() -> None:
    table = Task(np.zeros((3, 1025), np.uint8), np.zeros(3, np.int64), 1)
    with pytest.raises(ValueError, match="at most 1024 features, not 1025: leave some out"):
        fitted(generator, table, {"epsilon": 1})


def test_private_noise_comes_from_no_seed() -> None:
    first, second = (fitted(generator, grey(), {"epsilon": 1}, seed=3) for _ in range(2))
    assert first["2/centre"].tobytes() != second["2/centre"].tobytes()
    assert drawn(first, 2, 5).tobytes() == drawn(first, 2, 5).tobytes()


@pytest.mark.parametrize(("options", "expected"), [({}, False), ({"epsilon": 1}, True)])
def test_a_fit_is_private_with_epsilon_alone(options: Options, expected: bool) -> None:
    assert generator.is_private(options) is expected


def test_a_private_state_holds_nothing_beside_what_is_released() -> None:
    """Scale and range, which a plain fit takes from the data, are the same whatever the data."""
    dark, bright = (
        fitted(generator, Task(np.full((60, 9, 10), grey, np.uint8), np.zeros(60, int), 1), ASKED)
        for grey in (20, 220)
    )
    assert set(dark) == {f"0/{name}" for name in PRIVATE} | {"samples", "range"}
    for name in ("samples", "range", "0/mean", "0/spread", "0/step", "0/weights", "0/residuals"):
        np.testing.assert_array_equal(dark[name], bright[name])


ASKED: Options = {"epsilon": 1}
PRIVATE = (
    "mean",
    "spread",
    "centre",
    "weights",
    "size",
    "step",
    "means",
    "axes",
    "residuals",
    "grey",
)


def test_a_private_fit_pauses_without_spending_a_class_twice() -> None:
    fit = generator.fit(grey(), ASKED, 0, None, lambda: True)
    whole = generator.fit(grey(), ASKED, 0, fit.state, lambda: True)
    assert whole.progress == 1
    assert whole.state["2/centre"] is fit.state["2/centre"]


def test_a_classifier_learns_more_from_private_digits_the_less_private_they_are() -> None:
    train, test = halves(digits())
    scores = []
    for epsilon in (0.1, 10, 100):
        state = fitted(generator, train, {"epsilon": epsilon})
        samples = np.concatenate([drawn(state, label, 100) for label in range(10)])
        scores.append(accuracy(samples, np.repeat(np.arange(10), 100), test))
    assert scores[0] < 0.5
    assert scores[1] > 0.55
    assert scores[2] > 0.8


def test_a_fit_of_the_first_release_is_still_drawn_from() -> None:
    """Release 0.1.0 kept the centre in grey values, and no mean beside it."""
    state: Arrays = {
        "samples": np.zeros((0, 2, 2), np.uint8),
        "range": np.array([0, 255], np.float32).reshape(2, 1, 1),
        "0/centre": np.array([10, 20, 30, 40], np.float32),
        "0/spread": np.array([2], np.float32),
        "0/basis": np.array([[1, 0, 0, -1]], np.float16),
        "0/weights": np.ones(1),
        "0/means": np.array([[3]], np.float16),
        "0/factors": np.zeros((1, 1), np.float16),
    }
    np.testing.assert_array_equal(drawn(state, 0, 2), [[[16, 20], [30, 34]]] * 2)
