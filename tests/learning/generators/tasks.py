"""Small tasks of every kind, and a drive from task to samples that any generator can take."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Population, Task
from learning.options import Options

QUICK: dict[str, Options] = {  # the first word is the generator
    "original": {"budget": 20},
    "original compressed": {"budget_kb": 4.0, "choose": "herding", "compress": True},
    "gmm": {"components": 3, "dimensions": 6},
    "gan": {"steps": 4, "width": 4, "latent": 8, "batch": 8},
    "ga": {"start": "mean", "generations": 3},
    "ga from statistics": {
        "start": "statistics",
        "generations": 3,
        "components": 2,
        "dimensions": 4,
    },
    "mix": {"budget_kb": 4},
}


def grey(n: int = 60, classes: tuple[int, ...] = (2, 5)) -> Task:
    """Images (n, 9, 10) with a bright stripe whose place depends on the class."""
    rng = np.random.default_rng(1)
    labels = np.resize(np.array(classes, np.int64), n)
    samples = rng.integers(0, 60, (n, 9, 10), dtype=np.uint8)
    samples[np.arange(n), labels] += 180
    return Task(samples, labels, 10)


def colour() -> Task:
    """Images (60, 8, 8, 3)."""
    rng = np.random.default_rng(2)
    samples = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    return Task(samples, np.arange(60) % 3, 3)


def measured() -> Task:
    """Images (60, 8, 9) of float32, as a thermal camera gives them."""
    rng = np.random.default_rng(4)
    samples = rng.normal(300, 5, (60, 8, 9)).astype(np.float32)
    return Task(samples, np.arange(60) % 2, 2)


def tabular() -> Task:
    """Features (90, 4) in units far apart, one of them constant."""
    rng = np.random.default_rng(3)
    labels = np.arange(90) % 2
    units = np.array([1e-3, 1.0, 1e6, 0.0])
    samples = (rng.normal(labels[:, None], 0.3, (90, 4)) * units + 7).astype(np.float32)
    return Task(samples, labels, 2)


def digits(classes: int = 10) -> Task:
    """Return the real 8 x 8 digits of scikit-learn, about 180 of a class."""
    bunch = load_digits(n_class=classes)
    return Task((bunch.images * 15).astype(np.uint8), bunch.target.astype(np.int64), 10)


def never() -> bool:
    return False


def fitted(generator: Generator, task: Task, options: Options, seed: int = 0) -> Arrays:
    fit: Fit = generator.fit(task, options, seed, None, never)
    assert fit.progress == 1
    return fit.state


def drawn(
    generator: Generator, order: Order, score: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    """Return the finished samples; `score` plays the deployed model in the loop of a search."""
    answer = generator.sample(order)
    while isinstance(answer, Population):
        assert generator.evolve is not None
        answer = generator.evolve(order, answer, score(answer.samples))
    assert isinstance(answer, Batch)
    return answer.samples


def brightness(samples: NDArray[Any]) -> NDArray[Any]:
    """Score samples between 0 and 0.5, below any threshold that would end a search."""
    flat = samples.reshape(len(samples), -1).astype(np.float64).mean(axis=1)
    return np.asarray(0.25 + 0.25 * np.tanh(flat / 300))
