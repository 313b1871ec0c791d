"""What a generator of rehearsal data is: two functions and an optional third, arrays in, arrays out.

A generator is fitted once on the real data of a task; from then on its state stands for the data,
which may be deleted. Rules that every generator keeps and callers rely on:

* The same arguments give the same bytes, whatever ran before: randomness comes from the seeds alone.
  The one exception is noise that is to keep a secret (`gmm` with `epsilon`).
* State is a flat mapping of arrays. What belongs to one class is named `"<label>/<name>"`, so that
  the bytes a class costs can be counted and a class can be forgotten.
* No shape and no number of classes is assumed: `(n, h, w)` and `(n, h, w, 3)` are images,
  `(n, d)` is tabular data whose features have units of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.options import Options

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """Real samples of one task.

    Attributes:
        samples: (n, *shape), uint8 or finite float32.
        labels: (n,), int64 in [0, n_classes); a class of the range may be absent.
        n_classes: Classes known so far, not only those of this task.

    Raises:
        ValueError: The arrays break one of the rules above.

    """

    samples: NDArray[Any]
    labels: NDArray[np.int64]
    n_classes: int

    def __post_init__(self) -> None:
        samples, labels = self.samples, self.labels
        if samples.dtype not in (np.uint8, np.float32) or samples.ndim < 2:
            found = f"{samples.dtype} {samples.shape}"
            raise ValueError(f"samples must be uint8 or float32 of shape (n, *shape), not {found}")
        if labels.shape != samples.shape[:1] or not len(labels):
            raise ValueError(f"labels {labels.shape} must be one for each sample {samples.shape}")
        if labels.min() < 0 or labels.max() >= self.n_classes:
            raise ValueError(f"labels must lie in [0, n_classes={self.n_classes})")
        if samples.dtype == np.float32 and not np.isfinite(samples).all():
            raise ValueError("samples must be finite: drop or fill the missing values first")

    def classes(self) -> list[int]:
        """Return the labels that have samples, in ascending order."""
        return [int(label) for label in np.unique(self.labels)]

    def of_class(self, label: int) -> NDArray[Any]:
        """Return the samples of one class, (n, *shape), in the order of the task."""
        chosen: NDArray[Any] = self.samples[self.labels == label]
        return chosen


@dataclass(frozen=True)
class Fit:
    """A fit, whole or so far.

    Attributes:
        state: At progress 1, all that sampling needs. Below, the checkpoint to call `fit` with.
        progress: In (0, 1].

    """

    state: Arrays
    progress: float


@dataclass(frozen=True)
class Order:
    """A request for samples of one class.

    Attributes:
        state: A finished fit.
        count: Samples asked for, 1 or more.
        seed: 0 or more; of what is drawn, orders that differ only in their seed give different samples.
        options: Those of the fit; a generator reads what concerns sampling.
        start: How many samples the orders before this one ask for, where several share what is kept.
        common_seed: Of all of those orders; None: the order is one by itself.

    """

    state: Arrays
    label: int
    count: int
    seed: int
    options: Options
    start: int = 0
    common_seed: int | None = None

    def learned(self) -> dict[str, NDArray[Any]]:
        """Return what the state holds of the class ordered, by name without the label.

        Raises:
            ValueError: The class was not in the task that was fitted.

        """
        prefix = f"{self.label}/"
        found = {
            name.removeprefix(prefix): array
            for name, array in self.state.items()
            if name.startswith(prefix)
        }
        if not found:
            known = sorted({int(name.split("/")[0]) for name in self.state if "/" in name})
            raise ValueError(f"label {self.label} was not fitted; fitted labels are {known}")
        return found


@dataclass(frozen=True)
class Batch:
    """Finished samples.

    Attributes:
        samples: (n, *shape) in the dtype of the task; n may exceed or fall short of the order's, and may be 0.
        certain: So many of them, the first, are real: no model need confirm their class.

    """

    samples: NDArray[Any]
    certain: int = 0


@dataclass(frozen=True)
class Population:
    """Candidates that the deployed model has to score before the generator can go on.

    With its order, this is the whole state of the search: any worker may take the next step.

    Attributes:
        samples: (n, *shape) in the dtype of the task.
        generation: Of the first population 1.

    """

    samples: NDArray[Any]
    generation: int


@dataclass(frozen=True)
class Generator:
    """One way to make rehearsal data.

    Attributes:
        trusted: All that it serves is real, so that nothing gives it away.
        fit: (task, options, seed, checkpoint, should_pause). A checkpoint must come from the same
            task, options and seed. Where `should_pause` says so, between two units of work, the
            fit so far is returned; every call gets at least one unit further. However often it was
            interrupted, the finished state is the same to the bit.
        sample: A batch, or the first population of a search.
        evolve: (order, population, confidence (n,) of the deployed model in the class ordered).
            The next population, or a batch at the end. None unless the generator searches.
        validate: Raises ValueError that names an option and what it takes.
        is_private: Whether a state fitted with such options is differentially private: nothing else of its
            task may then be kept beside it.

    """

    name: str
    trusted: bool
    fit: Callable[[Task, Options, int, Arrays | None, Callable[[], bool]], Fit]
    sample: Callable[[Order], Batch | Population]
    evolve: Callable[[Order, Population, NDArray[Any]], Batch | Population] | None
    validate: Callable[[Options], None]
    is_private: Callable[[Options], bool] = lambda _: False
