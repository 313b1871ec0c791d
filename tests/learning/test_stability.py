"""Twenty tasks in a row, each a new class, and what was learned first is still known.

The classes are the ten digits and their negatives. Of a class that was learned, nothing is kept but what its generator
keeps: the model, like one that is deployed, sees the real samples of one task at a time.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from learning import generators
from learning.generators.base import Arrays, Batch, Order, Task
from learning.inference import predict
from learning.metrics import accuracy_per_class
from learning.network import Parameters
from learning.options import Options as GeneratorOptions
from learning.problem import Examples, Options, Problem
from learning.training import advance, begin, result

TEXT, SHAPE, TASKS = "conv8 pool dense32", (8, 8), 20
COUNT = 30


@dataclass(frozen=True)
class Arm:
    """A way to rehearse: with a generator or without."""

    generator: str | None
    options: GeneratorOptions
    new_loss: Literal["all", "new"]


ARMS = {
    "original": Arm("original", {"budget": 15}, "all"),
    "gmm": Arm("gmm", {"components": 4, "dimensions": 24}, "new"),
}
NAIVE = Arm(None, {}, "all")


@pytest.fixture(scope="module")
def classes() -> tuple[Examples, Examples]:
    """Return training and test samples of the digits 0 to 9 and, as 10 to 19, their negatives."""
    flat, labels = load_digits(return_X_y=True)
    digits = (flat.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    everything = Examples(
        np.concatenate([digits, 255 - digits]),
        np.concatenate([labels, labels + 10]).astype(np.int64),
    )
    is_test = np.arange(len(everything)) % 3 == 0
    return everything.take(np.flatnonzero(~is_test)), everything.take(np.flatnonzero(is_test))


def learned(arm: Arm, train: Examples, test: Examples, seed: int) -> NDArray[np.float64]:
    """Return the accuracy on each class after each task, (tasks, classes)."""
    base: Parameters | None = None
    fits: list[Arrays] = []
    rows = []
    for label in range(TASKS):
        new = train.take(np.flatnonzero(train.labels == label)[:45])
        if arm.generator is not None:
            fits.append(fitted(arm, new, seed))
        base = taught(arm, base, new, rehearsed(arm, fits, seed), seed)
        said = predict(TEXT, base, test.samples).argmax(axis=1)
        rows.append(accuracy_per_class(test.labels, said, TASKS))
    return np.stack(rows)


def fitted(arm: Arm, new: Examples, seed: int) -> Arrays:
    task = Task(new.samples, new.labels, TASKS)
    return generators.load(str(arm.generator)).fit(task, arm.options, seed, None, never).state


def rehearsed(arm: Arm, fits: list[Arrays], seed: int) -> Examples | None:
    """Return samples of all classes that were fitted; None of none."""
    batches: list[NDArray[Any]] = []
    for label, state in enumerate(fits):
        order = Order(state, label, COUNT, seed + len(fits), arm.options)
        batch = generators.load(str(arm.generator)).sample(order)
        assert isinstance(batch, Batch)
        batches.append(batch.samples)
    if not batches:
        return None
    labels = np.repeat(np.arange(len(fits)), [len(each) for each in batches])
    return Examples(np.concatenate(batches), labels)


def taught(
    arm: Arm, base: Parameters | None, new: Examples, rehearsal: Examples | None, seed: int
) -> Parameters:
    label = int(new.labels[0])
    options = Options(epochs=4, batch_size=32, new_loss=arm.new_loss, lr=2e-3)
    problem = Problem(TEXT, SHAPE, label + 1, new, rehearsal, base, (label,))
    return result(advance(problem, begin(problem, options, seed), options, seed, never))


def never() -> bool:
    return False


def test_without_rehearsal_only_the_last_class_is_left(classes: tuple[Examples, Examples]) -> None:
    after = learned(NAIVE, *classes, seed=0)
    assert after[-1].mean() < 0.1
    assert after[-1, -1] > 0.9


@pytest.mark.parametrize("arm", ARMS)
def test_twenty_tasks_leave_the_first_ones_known(
    arm: str, classes: tuple[Examples, Examples]
) -> None:
    after = learned(ARMS[arm], *classes, seed=0)
    assert after[-1].mean() > 0.7
    assert after[-1, :5].mean() > 0.7  # those that were learned fifteen tasks ago and earlier
