"""Which labelled samples to keep for rehearsal.

Every sample is kept or has exactly one reason against it, the first that applies in the order of
`REASONS`. Samples are judged in order of arrival, so the earlier of two equals stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from learning.distances import CHUNK, squared_distances
from learning.samples import Samples, is_finite, to_unit

Reason = Literal[
    "not finite", "duplicate", "other class", "low confidence", "near duplicate", "surplus"
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Criteria:
    """What a sample has to meet.

    Attributes:
        wanted: Most to keep, at least 0.
        min_confidence: Least probability of the sample's class, in [0, 1].
        min_distance: Least distance to those kept before it, root mean square per value as in
            `learning.quality`; 0: any.
        certain: Of so many samples, the first, the class is certain, whatever the model says.

    Raises:
        ValueError: Names the field that is out of its range.

    """

    wanted: int
    min_confidence: float = 0.0
    min_distance: float = 0.0
    certain: int = 0

    def __post_init__(self) -> None:
        if self.wanted < 0:
            raise ValueError(f"wanted: {self.wanted}, give at least 0")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence: {self.min_confidence}, give 0 to 1")
        if not 0 <= self.min_distance < inf:
            raise ValueError(f"min_distance: {self.min_distance}, give at least 0")


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
    samples: Samples,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    criteria: Criteria,
) -> Selection:
    """Return which samples to keep.

    Args:
        samples: (n, *shape).
        probabilities: Of the deployed model, (n, k).
        labels: Class of each sample that the model has to confirm, (n,); None does not ask the model, which
            does not know the class.
        criteria: See there.

    Raises:
        ValueError: Arguments do not belong together; the message names one.

    """
    _check(samples, probabilities, labels)
    left = np.ones(len(samples), dtype=np.bool_)
    rejected = dict.fromkeys(REASONS, 0)
    for reason, objection in _objections(samples, probabilities, labels, criteria):
        rejected[reason] = int(np.count_nonzero(left & objection))
        left &= ~objection
    passed = np.flatnonzero(left)
    crowded = _crowded(samples[passed], criteria.min_distance)
    kept = passed[~crowded]
    rejected["near duplicate"] = int(np.count_nonzero(crowded))
    rejected["surplus"] = max(0, len(kept) - criteria.wanted)
    return Selection(kept=kept[: criteria.wanted], rejected=rejected)


def _check(
    samples: Samples, probabilities: NDArray[np.float32], labels: NDArray[np.int64] | None
) -> None:
    n = len(samples)
    if probabilities.ndim != 2 or len(probabilities) != n:
        raise ValueError(f"probabilities: shape {probabilities.shape}, give ({n}, k)")
    k = probabilities.shape[1]
    if labels is not None and not (labels.shape == (n,) and np.isin(labels, range(k)).all()):
        raise ValueError(f"labels: shape {labels.shape}, give ({n},) classes from 0 to {k - 1}")


def _objections(
    samples: Samples,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    criteria: Criteria,
) -> Iterator[tuple[Reason, NDArray[np.bool_]]]:
    """Yield what speaks against a sample whatever becomes of the others, (n,) each."""
    finite = is_finite(samples) & np.isfinite(probabilities).all(axis=1)
    yield "not finite", ~finite
    yield "duplicate", _repeats(samples)
    if labels is not None:
        places = np.arange(len(labels))
        asked = places >= criteria.certain
        yield "other class", asked & (probabilities.argmax(axis=1) != labels)
        yield "low confidence", asked & (probabilities[places, labels] < criteria.min_confidence)


def _repeats(samples: Samples) -> NDArray[np.bool_]:
    """Return which samples have the bytes of an earlier one, (n,)."""
    seen: set[bytes] = set()
    repeats = np.zeros(len(samples), dtype=np.bool_)
    for index, sample in enumerate(samples):
        content = sample.tobytes()
        repeats[index] = content in seen
        seen.add(content)
    return repeats


def _crowded(samples: Samples, min_distance: float) -> NDArray[np.bool_]:
    """Return which samples are nearer than that to an earlier one that is not itself so, (n,)."""
    crowded = np.zeros(len(samples), dtype=np.bool_)
    if not (min_distance and len(samples)):
        return crowded
    rows = to_unit(samples).reshape(len(samples), -1).astype(np.float64)
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        near = squared_distances(chunk, rows[: start + CHUNK]) < min_distance**2
        for index, own in enumerate(near, start):
            crowded[index] = (own[:index] & ~crowded[:index]).any()
    return crowded
