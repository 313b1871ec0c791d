"""Old classes against new ones, evened out after training: only the rows of new classes change.

Training draws undecided samples to the classes that it saw most of, or that told it most: the new
ones. The correction scales and shifts the logits of the new classes, which the head takes in without
a trace: inference needs nothing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Calibration = Literal["none", "bias"]

_ROUNDS = 30
_PULL = 1e-3  # towards scale 1 and shift 0: keeps the fit finite where the samples are separable
_NEUTRAL = np.array([1.0, 0.0])
_SCALES = (0.1, 10.0)
_BOTH, _SHIFT = slice(0, 2), slice(1, 2)  # what of scale and shift is fitted


def fit_bias(
    logits: NDArray[np.float32], labels: NDArray[np.int64], new: NDArray[np.int64]
) -> tuple[float, float]:
    """Return scale and shift of the new classes' logits under which the labels are most likely.

    Wu et al. 2019, "Large Scale Incremental Learning" (BiC), eq. 4 and 5, with every class weighing
    the same; by Newton's method, for the loss is convex in the two. Where the best scale is out of
    range, the shift is the best for the end of the range. Samples of old classes alone, or of new ones
    alone, say nothing: 1 and 0.

    Args:
        logits: Of held-out samples, (n, n_classes).
        labels: (n,).
        new: Classes that are new, ascending.

    """
    if len(set(np.isin(labels, new).tolist())) < 2:
        return 1.0, 0.0
    weights = 1 / np.bincount(labels)[labels] / len(np.unique(labels))
    held_out = _HeldOut(logits.astype(np.float64), labels, weights, new)
    found = held_out.best(_NEUTRAL, _BOTH)
    scale = np.clip(found[0], *_SCALES)
    if scale != found[0]:
        found = held_out.best(np.array([scale, found[1]]), _SHIFT)
    if not held_out.loss(found) < held_out.loss(_NEUTRAL):
        found = _NEUTRAL
    return float(found[0]), float(found[1])


def fold(
    parameters: Mapping[str, NDArray[np.float32]],
    new: NDArray[np.int64],
    scale: float,
    shift: float,
) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of the model whose new logits are scaled, then shifted."""
    weight, bias = parameters["head.weight"].copy(), parameters["head.bias"].copy()
    weight[new] *= np.float32(scale)
    bias[new] = np.float32(scale) * bias[new] + np.float32(shift)
    return {**parameters, "head.weight": weight, "head.bias": bias}


@dataclass(frozen=True)
class _HeldOut:
    """What is fitted to: logits (n, k), labels (n,), their weights (n,) of sum 1, the new classes."""

    logits: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    new: NDArray[np.int64]

    def best(self, at: NDArray[np.float64], free: slice) -> NDArray[np.float64]:
        """Return scale and shift of the least loss, of which the free ones have left `at`."""
        for _ in range(_ROUNDS):
            at = self._better(at, free)
        return at

    def _better(self, at: NDArray[np.float64], free: slice) -> NDArray[np.float64]:
        """Return where a step of Newton's leads, halved until the loss is no greater than here."""
        gradient, curvature = self._derivatives(at)
        step, here = np.zeros(2), self.loss(at)
        step[free] = np.linalg.solve(curvature[free, free], gradient[free])
        while self.loss(at - step) > here and np.abs(step).max() > 1e-9:
            step = step / 2
        return np.asarray(at - step)

    def loss(self, at: NDArray[np.float64]) -> float:
        """Return the mean cross entropy, and the pull, at scale and shift (2,)."""
        logits = self._corrected(at)
        top = logits.max(axis=1)
        totals = top + np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=1))
        losses = totals - logits[np.arange(len(logits)), self.labels]
        return float(losses @ self.weights + _PULL / 2 * ((at - _NEUTRAL) ** 2).sum())

    def _derivatives(
        self, at: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient (2,) and curvature (2, 2) of the loss in scale and shift."""
        slopes = np.stack([self.logits[:, self.new], np.ones((len(self.labels), len(self.new)))])
        corrected = self._corrected(at)
        exponentials = np.exp(corrected - corrected.max(axis=1, keepdims=True))
        p = (exponentials / exponentials.sum(axis=1, keepdims=True))[:, self.new]  # (n, new)
        mean = (slopes * p).sum(axis=2)  # (2, n)
        at_label = (slopes * (self.labels[:, np.newaxis] == self.new)).sum(axis=2)  # (2, n)
        second = np.einsum("anc,bnc,nc,n->ab", slopes, slopes, p, self.weights)
        gradient = (mean - at_label) @ self.weights + _PULL * (at - _NEUTRAL)
        return gradient, second - (mean * self.weights) @ mean.T + _PULL * np.eye(2)

    def _corrected(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        corrected = self.logits.copy()
        corrected[:, self.new] = at[0] * self.logits[:, self.new] + at[1]
        return corrected
