"""What a generator keeps of its real data, and what it gives away, measured while that data still exists.

* Accuracy on held-out real samples of a classifier that saw generated samples alone (classification accuracy score,
  Ravuri and Vinyals 2019, arXiv 1905.10887), beside the same trained on real samples. The classifier is regularised
  least squares with a Gaussian kernel: nothing random in it, and a second or less.
* Closeness to training samples, and copies of them: see learning/privacy.py.

A class counts as much as any other. Work is bounded: at most about `WORK` multiplications for each kind of distances,
so of very large samples fewer are compared, and of very many classes some, drawn at random, stand for all.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from learning.distances import squared_distances
from learning.generators.base import Generator, Order, Task
from learning.privacy import Closeness, closeness
from learning.scaling import Scaling, places

WORK = 5e9
LEARNED = 1000  # samples that the classifier learns from, and is tested on, at most
OF_CLASS = (2, 200)  # samples of a class, least and most
MEMORISED = 0.1  # share of copies beyond that of real samples
RIDGE = 1e-2
SMALLEST_WIDTH = 1e-9

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """Figures of a fitted generator, beside those of real samples.

    Attributes:
        accuracy: Of the classifier that learned from generated samples, in [0, 1], among the classes compared; None
            without held-out samples of them.
        accuracy_real: Of the one that learned from real samples.
        closeness: Mean over the classes compared, at most `LEARNED` / 2.

    """

    accuracy: float | None
    accuracy_real: float | None
    closeness: Closeness

    @property
    def memorises(self) -> bool:
        """Whether many generated samples are copies of training samples, or nearly."""
        return self.closeness.copies > self.closeness.copies_real + MEMORISED


@dataclass(frozen=True)
class _Extent:
    """What is compared: some classes, so many samples of each, and of all classes together so many to test on."""

    labels: list[int]
    count: int
    tested: int

    @classmethod
    def of(cls, task: Task) -> Self:
        least, most = OF_CLASS
        rows = int(min(LEARNED, math.sqrt(WORK / task.samples[0].size)))
        classes = task.classes()
        labels = [classes[place] for place in places(len(classes), max(1, rows // least))]
        affordable = min(WORK / task.samples.size, rows / len(labels))
        return cls(labels, int(np.clip(affordable, least, most)), rows)


@dataclass(frozen=True)
class _Class:
    """Rows of one class: as many real ones as were generated, or were asked for."""

    label: int
    real: Rows
    made: Rows
    closeness: Closeness


def evaluate(
    generator: Generator, order: Order, task: Task, held_out: Task | None
) -> Evaluation | None:
    """Evaluate a finished fit.

    Args:
        generator: Whose fit it is.
        order: State, seed and options to sample with; its label and count are not looked at.
        task: What was fitted.
        held_out: Samples of the same classes that the fit has not seen.

    Returns:
        None where nothing was generated of a class that has two samples. A search is measured by what it starts from:
        that is made without the deployed model.

    Raises:
        ValueError: The generator cannot sample from its own state.

    """
    scaling, extent = Scaling.of(task.samples), _Extent.of(task)
    compared = [
        _compare(generator, order, task, scaling, label, extent.count) for label in extent.labels
    ]
    classes = [each for each in compared if each is not None]
    if not classes:
        return None
    figures = np.mean([list(vars(each.closeness).values()) for each in classes], axis=0)
    accuracy, accuracy_real = _accuracies(classes, held_out, extent, scaling)
    return Evaluation(accuracy, accuracy_real, Closeness(*map(float, figures)))


def _compare(
    generator: Generator, order: Order, task: Task, scaling: Scaling, label: int, count: int
) -> _Class | None:
    training = scaling.rows(task.of_class(label))
    first = generator.sample(Order(order.state, label, count, order.seed, order.options))
    if not len(first.samples) or len(training) < 2:
        return None
    made = scaling.rows(first.samples[places(len(first.samples), count)])  # of many cultures
    real = training[places(len(training), count)]
    return _Class(label, real, made, closeness(training, made, count))


def _accuracies(
    classes: list[_Class], held_out: Task | None, extent: _Extent, scaling: Scaling
) -> tuple[float, float] | tuple[None, None]:
    """Return the accuracies of the classifiers that learned from generated and from real samples."""
    if held_out is None:
        return None, None
    known = np.flatnonzero(np.isin(held_out.labels, extent.labels))
    if not len(known):
        return None, None
    tested = known[places(len(known), extent.tested)]
    asked, truth = scaling.rows(held_out.samples[tested]), held_out.labels[tested]
    made = _answers({each.label: each.made for each in classes}, asked)
    real = _answers({each.label: each.real for each in classes}, asked)
    return float(np.mean(made == truth)), float(np.mean(real == truth))


def _answers(learned: dict[int, Rows], asked: Rows) -> NDArray[np.int64]:
    """Return the class (n,) of rows asked (n, d) by kernel least squares on rows of each class."""
    rows = np.concatenate(list(learned.values()))
    labels = np.repeat(list(learned), [len(each) for each in learned.values()])
    known = np.array(list(learned))
    targets = np.where(labels[:, np.newaxis] == known, 1.0, -1.0)  # (m, classes)
    squared = squared_distances(rows, rows)
    width = max(float(np.median(squared)), SMALLEST_WIDTH)
    kernel = np.exp(-squared / width, dtype=np.float64) + RIDGE * np.eye(len(rows))
    weights = np.linalg.solve(kernel, targets)
    answers = np.exp(-squared_distances(asked, rows) / width) @ weights
    return np.asarray(known[answers.argmax(axis=1)])
