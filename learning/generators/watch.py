"""Quality watched while a network learns to draw: the best weights so far, and whether to go on.

* The figure is a class's drift from the real samples, which a review sees too (learning/likeness.py), as a mean over
  classes. It is a Fréchet distance, by which adversarial networks are compared (Heusel et al. 2017, arXiv 1706.08500),
  on coarse features instead of a trained network's. 0 is like real samples.
* Every look draws with the same random numbers, so that looks differ by the weights alone. It draws `LOOKED` samples,
  of some classes where there are very many.
* A class of fewer than ten samples has no statistics and is not looked at. Where no class has any, the newest weights
  count as the best.
"""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.generators.base import Arrays, Task
from learning.generators.networks import Weights
from learning.likeness import likeness, tally
from learning.reference import LEAST, ClassReference, Reference
from learning.samples import Samples
from learning.scaling import places

LOOKED = 256
COLLAPSED = 1.0  # the drift of a class that is drawn as its mean, again and again
SOUND = 0.5  # the drift from which on one as far as `COLLAPSED` is no longer a beginner's

Draw = Callable[[Weights, int, int], Samples]


class Watch:
    """The best weights that were looked at.

    Attributes:
        best: Copies of them; empty before the first look, and if all weights were beyond number.
        drift: Theirs; infinite before the first look.
        step: Of training, after which they were looked at.
        collapsed: Whether the newest look found that it is no use to go on.

    """

    def __init__(self, reference: Reference, labels: list[int], draw: Draw) -> None:
        """Watch what `draw` returns for weights, a label and a number of samples."""
        described = ((label, reference.of_class(label)) for label in labels)
        known = [(label, real) for label, real in described if real is not None]
        self._compared = [known[place] for place in places(len(known), LOOKED // LEAST)]
        self._reference, self._draw = reference, draw
        self.best: Weights = {}
        self.drift, self.step, self.collapsed = math.inf, 0, False

    @classmethod
    def begin(cls, task: Task, draw: Draw) -> Self:
        """Describe the real data; nothing was looked at."""
        return cls(Reference.of(task), task.classes(), draw)

    @classmethod
    def resume(cls, checkpoint: Arrays, task: Task, draw: Draw) -> Self:
        """Continue where the checkpoint was taken; ValueError if it is of a release that did not watch."""
        if "best drift" not in checkpoint:
            raise ValueError(
                "checkpoint: made by an earlier release; begin anew, by `rdg job retry`"
            )
        watch = cls(Reference.from_arrays(_group(checkpoint, "real")), task.classes(), draw)
        watch.drift, watch.step = float(checkpoint["best drift"]), int(checkpoint["best step"])
        watch.best = {name: to_tensor(array) for name, array in _group(checkpoint, "best").items()}
        return watch

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Return all that looks change, and the statistics, which take longer to compute than to keep."""
        best = {f"best.{name}": weight.numpy() for name, weight in self.best.items()}
        real = {f"real.{name}": array for name, array in self._reference.arrays().items()}
        return best | real | {"best drift": np.array(self.drift), "best step": np.array(self.step)}

    def look(self, step: int, weights: Weights) -> None:
        """Measure the weights after a step, and keep copies of them if none were better."""
        drift = self._drift_of(weights)
        self.collapsed = drift == math.inf or (drift > COLLAPSED and self.drift < SOUND)
        if drift <= self.drift and not self.collapsed:
            self.best = {name: weight.detach().clone() for name, weight in weights.items()}
            self.drift, self.step = drift, step

    def _drift_of(self, weights: Weights) -> float:
        """Return the mean over classes; infinite for weights that are beyond number."""
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            return math.inf
        count = LOOKED // max(1, len(self._compared))
        drifts = [_drift(self._draw(weights, label, count), real) for label, real in self._compared]
        return float(np.mean(drifts)) if drifts else 0.0


def _drift(samples: Samples, real: ClassReference) -> float:
    found = likeness(tally(samples, real).astype(np.float64), real)
    return math.inf if found is None else found.drift


def _group(arrays: Arrays, name: str) -> dict[str, NDArray[Any]]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def to_tensor(array: NDArray[Any]) -> Tensor:
    """Return a copy, since arrays of a message are read-only."""
    return torch.from_numpy(np.array(array))
