"""When to rehearse: does a version still do what it was released for? Counts in, charts out; numpy only.

Four charts look at one window of answers after another. Each has a level: 0 is as expected, 1 is an alarm.

- *forgetting*: the share of answers that were found wrong, against that of the release; *doubt*: the share of unsure
  answers, against that of the reference. A CUSUM of log likelihood ratios (Page 1954), which adds up small evidence.
- *confidence* and *classes*: the histograms of both, against the reference's. The population stability index, which has
  to be large enough to matter and larger than chance makes it.

Within any t windows the chance of a false alarm is at most t / `windows`: each chart may spend a quarter of that. A
CUSUM passes ln(4 windows) within t windows with a chance of at most t / (4 windows), as Ville's inequality holds for
each window that its sum may have begun with (compare Lorden 1971, theorem 2). The index of n and m independent answers
is nearly (1/n + 1/m) times a chi-square of bins - 1 degrees of freedom (Yurdakul 2018).
"""

from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CHARTS = 4
UNSURE_BINS = 5  # of ten: confidence under 0.5
SPREADS = 3  # standard errors of a reference's share that are not evidence
LEAST_SHARE = 0.01  # one error proves nothing, even of a version that was released without any

Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Answers by confidence, (10,), and by class, (k,); and how many were found right and wrong."""

    confidence: Histogram
    predicted: Histogram
    correct: int
    wrong: int


@dataclass(frozen=True)
class Limits:
    """What matters, and how seldom chance may look like it.

    Attributes:
        max_fall: Of the accuracy, in (0, 0.5].
        max_doubt: Rise of the share of unsure answers, in (0, 0.5].
        max_shift: Population stability index; 0.1 is called some change, 0.25 a large one.
        windows: For one false alarm at most.

    """

    max_fall: float
    max_doubt: float
    max_shift: float
    windows: int

    @property
    def rate(self) -> float:
        """Chance of a false alarm that each chart has in a window."""
        return 1 / (CHARTS * self.windows)


@dataclass(frozen=True)
class Chart:
    """What one window did to one chart.

    Attributes:
        name: Of the chart.
        level: 0 is as expected, 1 is an alarm.
        value: Of the window: the share, or the index.
        expected: The share expected, or the index that is an alarm.
        count: Answers of the window that it is of.

    """

    name: Literal["forgetting", "doubt", "confidence", "classes"]
    level: float
    value: float
    expected: float
    count: int

    def __str__(self) -> str:
        words = {"forgetting": "wrong {}, released with {}", "doubt": "unsure {}, at first {}"}
        text = words.get(self.name, "index {}, alarm at {}")
        figures = text.format(f"{self.value:.3f}", f"{self.expected:.3f}")
        return f"{self.name}: {figures}, of {self.count} answers (level {self.level:.2f})"


def forgetting(level: float, window: Counts, accuracy: float, limits: Limits) -> Chart:
    """Return the chart of wrong answers, after a window, from the level before it.

    Args:
        level: In [0, 1].
        window: May be of any size, even empty.
        accuracy: That the version was released with.
        limits: See there.

    """
    n, expected = window.correct + window.wrong, 1 - accuracy
    level = _risen(level, window.wrong, n, expected, limits.max_fall, limits.rate)
    return Chart("forgetting", level, window.wrong / max(n, 1), expected, n)


def doubt(level: float, window: Counts, reference: Counts, limits: Limits) -> Chart:
    """Return the chart of unsure answers; as `forgetting`."""
    unsure, n = _unsure(window)
    unsure_before, n_before = _unsure(reference)
    expected = (unsure_before + 0.5) / (n_before + 1)
    upper = expected + SPREADS * sqrt(expected * (1 - expected) / max(n_before, 1))
    level = _risen(level, unsure, n, upper, limits.max_doubt, limits.rate)
    return Chart("doubt", level, unsure / max(n, 1), expected, n)


def shifts(window: Counts, reference: Counts, limits: Limits) -> tuple[Chart, Chart]:
    """Return the charts of both histograms; a window's level does not depend on the one before."""
    level, index, alarm = _shift(window.confidence, reference.confidence, limits)
    confidence = Chart("confidence", level, index, alarm, int(window.confidence.sum()))
    level, index, alarm = _shift(window.predicted, reference.predicted, limits)
    return confidence, Chart("classes", level, index, alarm, int(window.predicted.sum()))


def stability_index(window: Histogram, reference: Histogram) -> float:
    """Return the population stability index, the symmetric Kullback-Leibler divergence of both histograms.

    Half an answer is added to every bin, so that an empty one counts for little rather than for everything.

    Args:
        window: (bins,).
        reference: (bins,).

    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, window))  # (bins,)
    return float(((q - p) * np.log(q / p)).sum())


def chi_square_quantile(degrees: int, rate: float) -> float:
    """Return what a chi-square exceeds with a chance of `rate`, by Wilson & Hilferty 1931."""
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + NormalDist().inv_cdf(1 - rate) * sqrt(spread)) ** 3)


def _risen(level: float, hits: int, n: int, expected: float, rise: float, rate: float) -> float:
    """Return a CUSUM's level after `hits` among n, where a share of `expected` + `rise` would matter."""
    before = min(max(expected, LEAST_SHARE), 1 - 2 * LEAST_SHARE)
    after = min(before + rise, 1 - LEAST_SHARE)
    evidence = hits * log(after / before) + (n - hits) * log((1 - after) / (1 - before))
    return min(max(level + evidence / log(1 / rate), 0.0), 1.0)


def _unsure(counts: Counts) -> tuple[int, int]:
    return int(counts.confidence[:UNSURE_BINS].sum()), int(counts.confidence.sum())


def _shift(window: Histogram, reference: Histogram, limits: Limits) -> tuple[float, float, float]:
    """Return the level, the index, and the index that is an alarm. The mean of chance alone is level 0."""
    n, m, degrees = int(window.sum()), int(reference.sum()), len(reference) - 1
    if not (n and m and degrees):
        return 0.0, 0.0, limits.max_shift
    scale = 1 / n + 1 / m
    alarm = max(limits.max_shift, scale * chi_square_quantile(degrees, limits.rate))
    index, noise = stability_index(window, reference), scale * degrees
    return min(max((index - noise) / (alarm - noise), 0.0), 1.0), index, alarm
