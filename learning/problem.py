"""What is to be learned, how, and which samples are held out from it. Values only; no torch.

Everything random is drawn from `numpy.random.default_rng([seed, ...])`, so that a training that is
resumed on another machine sees the same split and the same batches.

What is held out is unknown to all that learns: real samples are held out from the generator's fit and
from training alike (`held_out`), and of equal samples of a class never one trains while another is held
out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, Self, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from learning import architecture as arch
from learning.augmentation import Augmentation
from learning.calibration import Calibration
from learning.samples import Samples, fingerprints
from learning.schedule import Schedule

NewLoss = Literal["all", "new"]

_NONE = np.empty(0, dtype=np.int64)
_RANGES = {
    "epochs": (1, 10_000),
    "batch_size": (2, 65_536),
    "lr": (1e-8, 10),
    "distillation": (0, 100),
    "temperature": (1, 100),
    "validation": (0, 0.5),
    "patience": (1, 10_000),
}
_OPEN = (("epochs", "auto"), ("patience", None))  # values outside of their ranges
_CHOICES = {
    "new_loss": get_args(NewLoss),
    "augmentation": ("auto", *get_args(Augmentation)),
    "schedule": get_args(Schedule),
    "calibration": get_args(Calibration),
}
_SPLIT_STREAM = 2**32 - 1  # second seed word of the split; the batches use the epoch


@dataclass(frozen=True)
class Examples:
    """Samples with their classes.

    Attributes:
        samples: (n, *shape).
        labels: Class index in the model, (n,).
        teacher: Class probabilities by the previous model, (n, k_old); None without distillation.
        soft: What rehearsal samples are taught instead of their labels: the probability of each
            class, (n, n_classes), a row of 0 and a 1 where the label is to hold; None: the labels.

    """

    samples: Samples
    labels: NDArray[np.int64]
    teacher: NDArray[np.float32] | None = None
    soft: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Return the examples at these indices, in their order."""
        return replace(
            self,
            samples=self.samples[indices],
            labels=self.labels[indices],
            teacher=None if self.teacher is None else self.teacher[indices],
            soft=None if self.soft is None else self.soft[indices],
        )


@dataclass(frozen=True)
class Problem:
    """One task for a model that may know others already.

    Attributes:
        architecture: As in `learning.architecture`.
        shape: Of one sample.
        n_classes: Classes the model knows afterwards.
        new: Real data of the task, whose labels are certain; its classes may be known already.
        rehearsal: Samples that stand for earlier data; with ``new_loss="new"`` also for the new.
        base: Parameters to start from, their head with n_classes rows or fewer; None starts fresh.
        new_classes: Classes that the base model does not know.

    Raises:
        ValueError: The parts do not belong together; the message names the field.

    """

    architecture: str
    shape: tuple[int, ...]
    n_classes: int
    new: Examples
    rehearsal: Examples | None
    base: Mapping[str, NDArray[np.generic]] | None
    new_classes: tuple[int, ...]

    def __post_init__(self) -> None:
        arch.parameter_shapes(self.architecture, self.shape, self.n_classes)
        self._check_examples("new", self.new)
        if self.rehearsal is not None:
            self._check_examples("rehearsal", self.rehearsal)
        if not set(self.new_classes) <= set(range(self.n_classes)):
            raise ValueError(
                f"new_classes: {self.new_classes}, give classes below {self.n_classes}"
            )
        if self.base is not None:
            found = {name: array.shape for name, array in self.base.items()}
            known = arch.check_parameters(self.architecture, self.shape, found)
            if known > self.n_classes:
                raise ValueError(f"n_classes: {self.n_classes}, give at least the base's {known}")

    @property
    def replay(self) -> Examples:
        """Return the rehearsal examples, or an empty set."""
        return self.new.take(_NONE) if self.rehearsal is None else self.rehearsal

    @property
    def taught_classes(self) -> NDArray[np.int64]:
        """Return the classes that the task is about: of the new data, and new to the base."""
        return np.union1d(self.new.labels, self.new_classes).astype(np.int64)

    def _check_examples(self, field: str, examples: Examples) -> None:
        n, labels = len(examples), examples.labels
        if n == 0 or labels.ndim != 1 or labels.dtype != np.int64:
            raise ValueError(
                f"{field}.labels: {labels.dtype} {labels.shape}, give int64 (n,), n > 0"
            )
        if examples.samples.shape != (n, *self.shape):
            raise ValueError(f"{field}.samples: {examples.samples.shape}, give {(n, *self.shape)}")
        if not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise ValueError(
                f"{field}.labels: {labels.min()} to {labels.max()}, give 0 to {self.n_classes - 1}"
            )
        if examples.teacher is not None:
            self._check_teacher(field, examples.teacher, n)
        if examples.soft is not None:
            self._check_soft(field, examples.soft, n)

    def _check_teacher(self, field: str, teacher: NDArray[np.float32], n: int) -> None:
        if teacher.ndim != 2 or len(teacher) != n or not 1 <= teacher.shape[1] <= self.n_classes:
            raise ValueError(f"{field}.teacher: {teacher.shape}, give ({n}, 1 to {self.n_classes})")
        if not (np.isfinite(teacher).all() and teacher.min() >= 0):
            raise ValueError(f"{field}.teacher: NaN, Inf or negative, give class probabilities")

    def _check_soft(self, field: str, soft: NDArray[np.float32], n: int) -> None:
        if field == "new":
            raise ValueError("new.soft: the labels of new data are certain, give None")
        if soft.shape != (n, self.n_classes) or soft.dtype != np.float32:
            raise ValueError(
                f"{field}.soft: {soft.dtype} {soft.shape}, give float32 ({n}, {self.n_classes})"
            )
        if not (soft.min() >= 0 and np.allclose(soft.sum(axis=1), 1, atol=1e-3)):
            raise ValueError(f"{field}.soft: rows are no probabilities, give at least 0, sum 1")


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        epochs: To be trained; one draws as many samples as new and rehearsal data have together. "auto" is by
            how many steps they make; see `learning.schedule`.
        batch_size: At least 2.
        lr: Of Adam, at the start.
        schedule: How it goes from there; see `learning.schedule`.
        augmentation: How images are changed each time they are seen; see `learning.augmentation`.
        replay_ratio: Rehearsal's share of a batch, in (0, 1); "auto" is by number of classes.
        new_loss: "all": cross-entropy over all classes for every sample. "new": new samples compete
            among the new data's classes and `Problem.new_classes` alone, rehearsal samples among
            all; needs rehearsal samples of the new classes too. It keeps a network from telling
            old from new by what gives synthetic samples away.
        distillation: Weight of the loss towards the teacher, in [0, 100]; 0 is off.
        temperature: Of the distillation, in [1, 100].
        validation: Share of each class held out, in [0, 0.5]; 0 trains all epochs on everything.
        patience: Epochs without gain on the held-out samples before training stops; None trains all epochs,
            which a rate that falls to nothing needs.
        calibration: How `Problem.new_classes` are evened out against the others in the result; "bias"
            needs held-out samples. See `learning.calibration`.

    Raises:
        ValueError: Names the field that is out of its range.

    """

    epochs: int | Literal["auto"] = "auto"
    batch_size: int = 128
    lr: float = 2e-3
    schedule: Schedule = "cosine"
    augmentation: Augmentation | Literal["auto"] = "auto"
    replay_ratio: float | Literal["auto"] = "auto"
    new_loss: NewLoss = "all"
    distillation: float = 0.0
    temperature: float = 2.0
    validation: float = 0.1
    patience: int | None = None
    calibration: Calibration = "none"

    def __post_init__(self) -> None:
        for field, (low, high) in _RANGES.items():
            value = getattr(self, field)
            if (field, value) in _OPEN:
                continue
            if not (isfinite(value) and low <= value <= high):
                raise ValueError(f"{field}: {value}, give {low} to {high}")
        if self.replay_ratio != "auto" and not 0 < self.replay_ratio < 1:
            raise ValueError(f"replay_ratio: {self.replay_ratio}, give 'auto' or between 0 and 1")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                asked = getattr(self, field)
                raise ValueError(f"{field}: {asked!r}, give {' or '.join(map(repr, choices))}")
        if self.calibration == "bias" and not self.validation:
            raise ValueError(
                "calibration: 'bias' is fitted on held-out samples, give validation too"
            )


@dataclass(frozen=True)
class Split:
    """Indices into `Problem.new` and `Problem.rehearsal`, ascending; the latter empty without one."""

    training_new: NDArray[np.int64]
    training_rehearsal: NDArray[np.int64]
    validation_new: NDArray[np.int64]
    validation_rehearsal: NDArray[np.int64]

    @property
    def digest(self) -> int:
        """Return 32 bits that tell this split from others."""
        return crc32(b"".join(indices.tobytes() for indices in vars(self).values()))


def held_out(
    samples: Samples, labels: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Return which samples of real data (n, *shape) are held out, (n,): of each class about this share.

    It follows from what a class consists of, not from its number or the order of the samples, so that
    fitting and training, which number classes in their own ways, hold out the same. Nearly the same are
    held out after a class has grown. Equal samples of a class stay together, and train if they make up
    more than the share. Of each class at least one is held out and one kept; a single one is kept.

    Args:
        samples: (n, *shape).
        labels: Whatever number the class has, (n,).
        share: In [0, 0.5]; 0 holds out nothing.
        seed: 0 or more.

    """
    return _drawn(fingerprints(samples), labels, share, seed)


def validation_split(problem: Problem, options: Options, seed: int) -> Split:
    """Hold out `Options.validation` of each class of new and of rehearsal; same seed, same split.

    New samples are held out as `held_out` says, and so are rehearsal samples, but for those that equal
    a new one: they are on its side, even if that leaves none of a class to rehearse.
    """
    new, replay = fingerprints(problem.new.samples), fingerprints(problem.replay.samples)
    held_new = _drawn(new, problem.new.labels, options.validation, seed)
    held_replay = _drawn(replay, problem.replay.labels, options.validation, seed)
    held_replay &= ~np.isin(replay, new)
    held_replay |= np.isin(replay, new[held_new])
    return Split(*map(np.flatnonzero, (~held_new, ~held_replay, held_new, held_replay)))


def _drawn(
    contents: NDArray[np.uint64], labels: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Return which samples of these fingerprints (n,) are held out, (n,)."""
    held = np.zeros(len(labels), dtype=np.bool_)
    added, factor = np.random.default_rng([seed, _SPLIT_STREAM]).integers(2**64, size=2, dtype="u8")
    places = (contents + added) * (factor | 1)  # a permutation of all fingerprints
    for label in np.unique(labels) if share else ():
        members = np.flatnonzero(labels == label)
        held[members] = np.isin(places[members], _first(places[members], share))
    return held


def _first(places: NDArray[np.uint64], share: float) -> NDArray[np.uint64]:
    """Return the lowest places, of no more than this share of a class's samples, but at least one and never all."""
    distinct, counts = np.unique(places, return_counts=True)  # ascending
    most = max(1, round(share * len(places)))
    few = counts <= most  # what makes up more of a class trains
    if few.any():
        distinct, counts = distinct[few], counts[few]
        return distinct[: max(1, int((counts.cumsum() <= most).sum()))][: len(few) - 1]
    return distinct[[counts.argmin()]] if len(distinct) > 1 else distinct[:0]
