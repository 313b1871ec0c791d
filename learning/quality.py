"""What a reviewer needs to know about a rehearsal set before it trains a model.

Distances are root mean square differences per value: 0 to 1 for uint8 (scaled by 1/255), in the
features' own units for float32. They are measured on at most `SAMPLED` samples of a class, chosen by
their number alone, so the same set always gives the same figures. How alike the set is to the real
data: learning/likeness.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.distances import nearest_distances
from learning.samples import Samples, to_unit
from learning.scaling import some

SAMPLED = 256
NEAR_DUPLICATE = 0.02


@dataclass(frozen=True)
class ClassQuality:
    """Figures of one class.

    Attributes:
        label: The class.
        count: Its samples.
        mean_confidence: Of the model that labelled them; None where no model judged.
        min_confidence: As above.
        diversity: Mean distance to the nearest other sample of the class; 0 for a single sample.
        near_duplicates: Share of samples with another closer than `NEAR_DUPLICATE`.

    """

    label: int
    count: int
    mean_confidence: float | None
    min_confidence: float | None
    diversity: float
    near_duplicates: float


@dataclass(frozen=True)
class Quality:
    """Figures of a rehearsal set.

    Attributes:
        classes: By label, ascending.
        balance: Samples of the smallest class by those of the largest, in (0, 1].
        diversity: Mean over the classes.
        near_duplicates: Mean over the classes.

    """

    classes: tuple[ClassQuality, ...]
    balance: float
    diversity: float
    near_duplicates: float


def measure(
    samples: Samples, labels: NDArray[np.int64], confidence: NDArray[np.float32]
) -> Quality:
    """Measure a rehearsal set.

    Args:
        samples: (n, *shape), n at least 1.
        labels: (n,).
        confidence: Probability that the labelling model gave to the label, (n,); NaN where no model
            judged the sample.

    Raises:
        ValueError: No samples, or lengths that differ.

    """
    if not len(samples) == len(labels) == len(confidence) > 0:
        raise ValueError(
            f"samples, labels, confidence: {len(samples)}, {len(labels)}, {len(confidence)} entries:"
            " give as many of each, at least 1"
        )
    classes = tuple(
        _measure_class(int(label), samples[labels == label], confidence[labels == label])
        for label in np.unique(labels)
    )
    counts = [each.count for each in classes]
    return Quality(
        classes=classes,
        balance=min(counts) / max(counts),
        diversity=float(np.mean([each.diversity for each in classes])),
        near_duplicates=float(np.mean([each.near_duplicates for each in classes])),
    )


def _measure_class(label: int, samples: Samples, confidence: NDArray[np.float32]) -> ClassQuality:
    judged = confidence[~np.isnan(confidence)]
    nearest = _nearest_distances(samples)
    return ClassQuality(
        label=label,
        count=len(samples),
        mean_confidence=float(judged.mean()) if judged.size else None,
        min_confidence=float(judged.min()) if judged.size else None,
        diversity=float(nearest.mean()) if nearest.size else 0.0,
        near_duplicates=float(np.mean(nearest < NEAR_DUPLICATE)) if nearest.size else 0.0,
    )


def _nearest_distances(samples: Samples) -> NDArray[np.float64]:
    """Return each sampled sample's distance to its nearest other; empty for fewer than two."""
    if len(samples) < 2:
        return np.empty(0)
    chosen = to_unit(some(samples, SAMPLED))
    rows = chosen.reshape(len(chosen), -1).astype(np.float64)  # (m, d)
    return nearest_distances(rows, rows, np.arange(len(rows)))
