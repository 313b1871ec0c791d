"""The task of both designs: a small network trained on digits, and generators fitted on the same digits.

MNIST if RDG_DATA_DIR names a folder that has it, else scikit-learn's digits enlarged from 8x8 to 28x28.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from control.sources.dispatch import read
from learning import architecture, generators, training
from learning.generators.base import Arrays, Task
from learning.inference import predict
from learning.options import Options
from learning.problem import Examples, Problem
from learning.problem import Options as TrainingOptions
from schemas.settings import Settings

CLASSES = tuple("0123456789")
SHAPE = (28, 28)
PER_CLASS = 300
EPOCHS = 5
GA_OPTIONS: Options = {"start": "noise", "generations": 5, "threshold": 1.0}
"""Population 8 and 24 % survivors are the defaults; no culture stops early."""


@dataclass(frozen=True)
class PaperTask:
    """What both designs are given.

    Attributes:
        source: Where the digits come from.
        architecture: Of the deployed model; see learning/architecture.py.
        model: Its parameters.
        accuracy: Its share of right answers on the test split.
        fitted: The state of each generator, fitted on all classes.

    """

    source: str
    architecture: str
    model: Arrays
    accuracy: float
    fitted: dict[str, Arrays]


def paper_task(seed: int) -> PaperTask:
    """Train the model and fit the generators; half a minute."""
    source, (samples, labels), held_out = _digits(seed)
    layers = architecture.default(SHAPE)
    model = _trained(layers, samples, labels, seed)
    right = predict(layers, model, held_out[0]).argmax(axis=1) == held_out[1]
    task = Task(samples, labels, len(CLASSES))
    fitted = {
        "ga": generators.load("ga").fit(task, GA_OPTIONS, seed, None, lambda: False).state,
        "gmm": generators.load("gmm").fit(task, {}, seed, None, lambda: False).state,
    }
    return PaperTask(source, layers, model, float(right.mean()), fitted)


Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _digits(seed: int) -> tuple[str, Split, Split]:
    """Return the source's name, a training split of at most PER_CLASS a class, and a test split."""
    folder = Settings().data_dir
    if folder is None:
        return "digits enlarged to 28x28", *_enlarged_digits()
    splits = read("mnist", data_dir=folder, cache_dir=folder)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(splits.train.labels))
    labels = splits.train.labels[shuffled]
    chosen = np.concatenate([np.flatnonzero(labels == one)[:PER_CLASS] for one in range(10)])
    test = splits.test
    assert test is not None  # MNIST has one
    train = splits.train.samples[shuffled[chosen]].astype(np.uint8)
    return "MNIST", (train, labels[chosen]), (test.samples.astype(np.uint8), test.labels)


def _enlarged_digits() -> tuple[Split, Split]:
    flat, labels = load_digits(return_X_y=True)
    small = (flat.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    large = np.pad(np.kron(small, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))
    is_test = np.arange(len(labels)) % 4 == 0
    labels = labels.astype(np.int64)
    return (large[~is_test], labels[~is_test]), (large[is_test], labels[is_test])


def _trained(
    layers: str, samples: NDArray[np.uint8], labels: NDArray[np.int64], seed: int
) -> dict[str, NDArray[Any]]:
    problem = Problem(
        layers, SHAPE, len(CLASSES), Examples(samples, labels), None, None, tuple(range(10))
    )
    options = TrainingOptions(epochs=EPOCHS, lr=1e-3, schedule="constant")
    begun = training.begin(problem, options, seed)
    return dict(training.result(training.advance(problem, begun, options, seed, lambda: False)))
