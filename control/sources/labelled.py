"""Samples with their classes: what every source gives, whatever its format.

A `Labelled` that exists is sound: whoever holds one need not check its shape, its type, its labels
or its values again. Every class has at least one sample, because a task without samples has no
accuracy. What is not sound is an `InvalidData` that names the origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from control.sources.errors import InvalidData, UnknownSource

MAX_BYTES = 2 * 1024**3  # samples of one split, in memory
MAX_CLASSES = 1000
MAX_NAME = 100  # characters of a class name

Samples = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """One split of one data set.

    Attributes:
        samples: Images (n, h, w) or (n, h, w, 3) uint8, or rows (n, d) float32.
        labels: (n,) index into `classes`.
        classes: Name of each label.
        origin: File or set that the samples come from; error messages name it.

    """

    samples: Samples
    labels: Labels
    classes: tuple[str, ...]
    origin: str = "samples"

    def __post_init__(self) -> None:
        _check_samples(self.samples, self.origin)
        _check_classes(self.classes, self.origin)
        _check_labels(self)

    def only(self, classes: Sequence[str]) -> "Labelled":
        """Return the samples of those classes; labels follow the order given.

        Raises:
            UnknownSource: A name is not among the classes.
            InvalidData: A name is given twice, or none is given.

        """
        chosen = [self._label(name) for name in classes]
        renumbered = np.full(len(self.classes), -1, dtype=np.int64)  # (classes,)
        renumbered[chosen] = np.arange(len(chosen))
        labels = renumbered[self.labels]  # (n,), -1 where the class is not wanted
        kept = labels >= 0
        _check_classes(tuple(classes), self.origin)
        return Labelled(self.samples[kept], labels[kept], tuple(classes), self.origin)

    def _label(self, name: str) -> int:
        if name not in self.classes:
            known = ", ".join(self.classes)
            raise UnknownSource(self.origin, f"no class is named {name!r}", f"choose from: {known}")
        return self.classes.index(name)


@dataclass(frozen=True, eq=False)
class Splits:
    """What a source gives: samples to learn from and, where it has them, samples to test on.

    Attributes:
        train: Samples to learn from.
        test: Samples kept apart, of the same classes and shape; None if the source has none.
        notes: What was done to the data or could not be checked, one sentence each, for a person.

    """

    train: Labelled
    test: Labelled | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.test is None:
            return
        if self.test.classes != self.train.classes:
            problem = "its classes differ from those of the training samples"
            raise InvalidData(self.test.origin, problem, "give both the same classes")
        shape, expected = self.test.samples.shape[1:], self.train.samples.shape[1:]
        if shape != expected:
            problem = f"its samples have shape {shape}, the training samples {expected}"
            raise InvalidData(self.test.origin, problem, "give both the same shape")


def check_size(n_bytes: int, origin: str) -> None:
    """Refuse what is too large to hold. Readers call this before they allocate."""
    if n_bytes > MAX_BYTES:
        problem = f"its samples take {n_bytes:,} bytes, over the limit of {MAX_BYTES:,}"
        raise InvalidData(origin, problem, "give fewer or smaller samples")


def _check_samples(samples: Samples, origin: str) -> None:
    is_image = samples.ndim == 3 or (samples.ndim == 4 and samples.shape[3] == 3)
    if not is_image and samples.ndim != 2:
        remedy = "give images (n, h, w) or (n, h, w, 3), or rows (n, d)"
        raise InvalidData(origin, f"samples have shape {samples.shape}", remedy)
    expected = np.dtype(np.uint8 if is_image else np.float32)
    if samples.dtype != expected:
        problem = f"samples of shape {samples.shape} are {samples.dtype}"
        raise InvalidData(origin, problem, f"give them as {expected}")
    if samples.size == 0:
        raise InvalidData(origin, f"no values in shape {samples.shape}", "give at least one sample")
    check_size(samples.nbytes, origin)
    if not is_image and not np.isfinite(samples).all():
        row = int(np.argmin(np.isfinite(samples).all(axis=1)))
        raise InvalidData(origin, f"sample {row} has NaN or infinity", "remove or fill such values")


def _check_classes(classes: tuple[str, ...], origin: str) -> None:
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise InvalidData(origin, f"{len(classes)} classes", f"give 1 to {MAX_CLASSES}")
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise InvalidData(origin, f"class {twice!r} is named twice", "name each class once")
    for name in classes:
        if not (name.strip() and name.isprintable() and len(name) <= MAX_NAME):
            remedy = f"use 1 to {MAX_NAME} printable characters"
            raise InvalidData(origin, f"{name[:MAX_NAME]!r} is no name for a class", remedy)


def _check_labels(labelled: Labelled) -> None:
    samples, labels, origin = labelled.samples, labelled.labels, labelled.origin
    n_classes = len(labelled.classes)
    if labels.ndim != 1 or labels.dtype != np.int64:
        problem = f"labels are {labels.dtype} of shape {labels.shape}"
        raise InvalidData(origin, problem, "give int64 of shape (n,)")
    if len(labels) != len(samples):
        problem = f"{len(labels)} labels for {len(samples)} samples"
        raise InvalidData(origin, problem, "give one label for each sample")
    if labels.min() < 0 or labels.max() >= n_classes:
        problem = f"labels run from {labels.min()} to {labels.max()} for {n_classes} classes"
        raise InvalidData(origin, problem, f"give labels from 0 to {n_classes - 1}")
    counts = np.bincount(labels, minlength=n_classes)
    if not counts.all():
        empty = labelled.classes[int(np.argmin(counts))]
        raise InvalidData(origin, f"class {empty!r} has no samples", "add some or drop the class")
