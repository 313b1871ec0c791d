"""Which labelled samples to keep for rehearsal.

Every sample is kept or has exactly one reason against it, the first that applies in the order of
`REASONS`. Samples are judged in order of arrival, so the earlier of two equals stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from learning.samples import Samples, is_finite

Reason = Literal["not finite", "duplicate", "other class", "low confidence", "surplus"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Selection:
    """What was kept, and how many were not for which reason.

    Attributes:
        kept: Indices, ascending.
        rejected: Has every reason; ``len(kept) + sum(rejected.values())`` is the number of samples.

    """

    kept: NDArray[np.int64]
    rejected: Mapping[Reason, int]


def select(
    probabilities: NDArray[np.float32],
    target: int | None,
    samples: Samples,
    wanted: int,
    min_confidence: float,
    trusted: bool,
) -> Selection:
    """Return which samples to keep.

    Args:
        probabilities: Of the deployed model, (n, k).
        target: Class that the samples should show; None if the model does not know it.
        samples: (n, *shape).
        wanted: Most to keep, at least 0.
        min_confidence: Least probability of the target, in [0, 1].
        trusted: The class is certain (stored originals): do not ask the model's opinion.

    Raises:
        ValueError: An argument is out of its range.

    """
    _check(probabilities, target, samples, wanted, min_confidence)
    judged = target is not None and not trusted
    objections: dict[Reason, NDArray[np.bool_]] = {
        "not finite": ~(is_finite(samples) & np.isfinite(probabilities).all(axis=1)),
        "duplicate": _repeats(samples),
    }
    if target is not None and judged:
        objections["other class"] = probabilities.argmax(axis=1) != target
        objections["low confidence"] = probabilities[:, target] < min_confidence
    left = np.ones(len(samples), dtype=np.bool_)
    rejected = dict.fromkeys(REASONS, 0)
    for reason, objection in objections.items():
        rejected[reason] = int(np.count_nonzero(left & objection))
        left &= ~objection
    kept = np.flatnonzero(left)
    rejected["surplus"] = max(0, len(kept) - wanted)
    return Selection(kept=kept[:wanted], rejected=rejected)


def _check(
    probabilities: NDArray[np.float32],
    target: int | None,
    samples: Samples,
    wanted: int,
    min_confidence: float,
) -> None:
    if probabilities.ndim != 2 or len(probabilities) != len(samples):
        raise ValueError(f"probabilities: shape {probabilities.shape}, give ({len(samples)}, k)")
    if target is not None and not 0 <= target < probabilities.shape[1]:
        raise ValueError(f"target: {target}, give 0 to {probabilities.shape[1] - 1} or None")
    if wanted < 0:
        raise ValueError(f"wanted: {wanted}, give at least 0")
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence: {min_confidence}, give 0 to 1")


def _repeats(samples: Samples) -> NDArray[np.bool_]:
    """Return which samples have the bytes of an earlier one, (n,)."""
    seen: set[bytes] = set()
    repeats = np.zeros(len(samples), dtype=np.bool_)
    for index, sample in enumerate(samples):
        content = sample.tobytes()
        repeats[index] = content in seen
        seen.add(content)
    return repeats
