"""Attacks on the real data behind a generator, by whoever holds samples that it made.

Rows are samples in standard deviations of the real data (learning/scaling.py), best of one class at a time. Each attack
has a score that means nothing was learned, so that a generator that stores its data and one that draws anew from the
true distribution are told apart:

* copies: as many of the generated samples as of the real ones lie as close to a training sample as the closest 5 % of
  real samples lie to each other. After the distance to the closest record of synthetic tables (Zhao et al. 2021, arXiv
  2102.08369) and the test for data-copying of Meehan, Chaudhuri and Dasgupta (2020, arXiv 2004.05675).
* preference 0.5: of as many training and held-out samples, the nearest is as often of the one as of the other.
* area 0.5 and advantage 0: the distance of a record to the nearest generated sample does not tell whether the record
  was trained on (Chen et al. 2020, arXiv 1909.03935; advantage as in Yeom et al. 2018, arXiv 1709.01604).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.distances import nearest_distances
from learning.scaling import places

CLOSEST = 0.05
SAME = 1e-3  # standard deviations per value; what float32 rounds away

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Closeness:
    """How close generated samples come to training samples, beside how close those come to each other.

    Attributes:
        distance: Median distance of a generated sample to the nearest training sample.
        distance_real: Median distance of a training sample to the nearest other.
        copies: Share of generated samples that are close to one, in [0, 1].
        copies_real: Share of training samples that are; about 0.05, more where the data repeats itself.

    """

    distance: float
    distance_real: float
    copies: float
    copies_real: float


@dataclass(frozen=True)
class Membership:
    """How well scores tell records that were trained on from others.

    Attributes:
        area: Under the receiver operating characteristic: chance that a record trained on scores more, in [0, 1].
        advantage: True positive less false positive rate at the best threshold, in [0, 1].

    """

    area: float
    advantage: float


def closeness(training: Rows, generated: Rows, most: int) -> Closeness:
    """Compare generated rows (m, d), m at least 1, with all training rows (n, d), n at least 2.

    At most `most` training rows are compared with the others.
    """
    chosen = places(len(training), most)
    real = nearest_distances(training[chosen], training, own=chosen)
    made = nearest_distances(generated, training)
    near = max(SAME, float(np.quantile(real, CLOSEST)))
    return Closeness(
        distance=float(np.median(made)),
        distance_real=float(np.median(real)),
        copies=float(np.mean(made <= near)),
        copies_real=float(np.mean(real <= near)),
    )


def preference(training: Rows, held_out: Rows, generated: Rows) -> float:
    """Return the share of generated rows that are nearer to training than to held-out rows; ties count half.

    Raises:
        ValueError: The one are more than the other, which alone would make them nearer.

    """
    if len(training) != len(held_out):
        raise ValueError(
            f"{len(training)} training and {len(held_out)} held-out rows: give as many"
        )
    to_training = nearest_distances(generated, training)
    to_held_out = nearest_distances(generated, held_out)
    return float(np.mean(np.sign(to_held_out - to_training)) / 2 + 0.5)


def membership_by_distance(training: Rows, held_out: Rows, generated: Rows) -> Membership:
    """Attack with minus the distance of a record to the nearest generated row."""
    scores = [-nearest_distances(records, generated) for records in (training, held_out)]
    return membership(*scores)


def membership(of_training: NDArray[np.float64], of_others: NDArray[np.float64]) -> Membership:
    """Attack with any score of records, (n,) and (m,): the more, the likelier trained on; a density, for example."""
    thresholds = np.unique(np.concatenate([of_training, of_others]))
    rates = [1 - _share_below(scores, thresholds) for scores in (of_training, of_others)]
    true, false = (
        np.append(each, 0.0) for each in rates
    )  # of records that score the threshold or more
    area = -np.trapezoid(true, false)
    return Membership(float(area), float((true - false).max()))


def _share_below(
    scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores))
