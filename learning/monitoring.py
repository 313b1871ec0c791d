"""When to rehearse: does a version still do what it was released for? Counts in, charts out; numpy only.

Five charts look at one window of answers after another. Each has a level: 0 is as expected, 1 is an alarm.

- *forgetting*: the share of answers that were found wrong, against that of the release on a probe, or else of the first
  answers that were judged; *doubt*: the share of unsure answers, against that of the reference. A CUSUM of log
  likelihood ratios (Page 1954), which adds up small evidence.
- *confidence*, *classes* and *latents*: the histograms of these, against the reference's. The population stability
  index, which has to be large enough to matter and larger than chance makes it.

Within any t windows the chance of a false alarm is at most t / `windows`: each chart may spend a fifth of that. A
CUSUM passes ln(5 windows) within t windows with a chance of at most t / (5 windows), as Ville's inequality holds for
each window that its sum may have begun with (compare Lorden 1971, theorem 2). The index of n and m independent answers
is nearly (1/n + 1/m) times a chi-square of bins - 1 degrees of freedom (Yurdakul 2018), where no bin is nearly empty.
"""

from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CHARTS = 5
UNSURE_BINS = 5  # of ten: confidence under 0.5
SPREADS = 3  # standard errors of a reference's share that are not evidence
LEAST_SHARE = 0.01  # one error proves nothing, even of a version that was released without any
GROUPS = 10  # of adjacent bins of latents, each with at least that share of the reference

Against = Literal["released with", "at first", "alarm at"]
Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Answers by confidence, (10,), class, (k,), and latents, (bins,); and how many were found right and wrong."""

    confidence: Histogram
    predicted: Histogram
    latents: Histogram
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
class Expected:
    """A share of answers that is no surprise.

    Attributes:
        share: In [0, 1].
        margin: Above it, that is no evidence either.
        against: Where it is from.

    """

    share: float
    margin: float
    against: Against


@dataclass(frozen=True)
class Chart:
    """What one window did to one chart.

    Attributes:
        name: Of the chart.
        level: 0 is as expected, 1 is an alarm.
        value: Of the window: the share, or the index.
        expected: The share expected, or the index that is an alarm.
        against: Which of these.
        count: Answers of the window that it is of.

    """

    name: Literal["forgetting", "doubt", "confidence", "classes", "latents"]
    level: float
    value: float
    expected: float
    against: Against
    count: int

    def __str__(self) -> str:
        what = {"forgetting": "wrong", "doubt": "unsure"}.get(self.name, "index")
        figures = f"{what} {self.value:.3f}, {self.against} {self.expected:.3f}"
        return f"{self.name}: {figures}, of {self.count} answers (level {self.level:.2f})"


def released_with(accuracy: float) -> Expected:
    """Return which share of answers is wrong by scores that were measured on a probe."""
    return Expected(1 - accuracy, 0.0, "released with")


def wrong_at_first(reference: Counts, limits: Limits) -> Expected | None:
    """Return which share of the reference's judged answers was wrong; None while they are too few.

    They are enough once the margin is half of `max_fall`. A CUSUM finds what is more than about half a rise above the
    margin: so with fewer a fall by `max_fall`, which matters, would never become an alarm. That takes
    36 p (1 - p) / max_fall² judged answers, where p are wrong: 700 for p = 0.05 and 1,600 for 0.125, with the default.
    """
    expected = _at_first(reference.wrong, reference.correct + reference.wrong)
    return expected if expected.margin <= limits.max_fall / 2 else None


def forgetting(level: float, window: Counts, expected: Expected, limits: Limits) -> Chart:
    """Return the chart of wrong answers, after a window, from the level before it.

    Args:
        level: In [0, 1].
        window: May be of any size, even empty.
        expected: Share of wrong answers.
        limits: See there.

    """
    n = window.correct + window.wrong
    level = _risen(level, window.wrong, n, expected, limits.max_fall, limits.rate)
    value = window.wrong / max(n, 1)
    return Chart("forgetting", level, value, expected.share, expected.against, n)


def doubt(level: float, window: Counts, reference: Counts, limits: Limits) -> Chart:
    """Return the chart of unsure answers; as `forgetting`."""
    unsure, n = _unsure(window)
    expected = _at_first(*_unsure(reference))
    level = _risen(level, unsure, n, expected, limits.max_doubt, limits.rate)
    return Chart("doubt", level, unsure / max(n, 1), expected.share, expected.against, n)


def shifts(window: Counts, reference: Counts, limits: Limits) -> tuple[Chart, Chart]:
    """Return the charts of confidence and classes; a window's level does not depend on the one before."""
    return (
        _shift("confidence", window.confidence, reference.confidence, limits),
        _shift("classes", window.predicted, reference.predicted, limits),
    )


def latents(window: Counts, reference: Counts, limits: Limits) -> Chart:
    """Return the chart of latents, which are not spread evenly over their bins; as `shifts`."""
    starts = _groups(reference.latents)
    now, then = (np.add.reduceat(each.latents, starts) for each in (window, reference))  # (groups,)
    return _shift("latents", now, then, limits)


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


def _at_first(hits: int, n: int) -> Expected:
    share = (hits + 0.5) / (n + 1)
    return Expected(share, SPREADS * sqrt(share * (1 - share) / max(n, 1)), "at first")


def _risen(level: float, hits: int, n: int, expected: Expected, rise: float, rate: float) -> float:
    """Return a CUSUM's level after `hits` among n, where a share of `expected` + `rise` would matter."""
    before = min(max(expected.share + expected.margin, LEAST_SHARE), 1 - 2 * LEAST_SHARE)
    after = min(before + rise, 1 - LEAST_SHARE)
    evidence = hits * log(after / before) + (n - hits) * log((1 - after) / (1 - before))
    return min(max(level + evidence / log(1 / rate), 0.0), 1.0)


def _unsure(counts: Counts) -> tuple[int, int]:
    return int(counts.confidence[:UNSURE_BINS].sum()), int(counts.confidence.sum())


def _groups(reference: Histogram) -> list[int]:
    """Return the first bin of each group. A last one that is too small belongs to the one before."""
    starts, held, least = [0], 0, max(int(reference.sum()), 1) / GROUPS
    for index, count in enumerate(reference.tolist()):
        if held >= least:
            starts, held = [*starts, index], 0
        held += count
    return starts if held >= least or len(starts) == 1 else starts[:-1]


def _shift(
    name: Literal["confidence", "classes", "latents"],
    window: Histogram,
    reference: Histogram,
    limits: Limits,
) -> Chart:
    """Return the chart of a histogram. The mean of chance alone is level 0."""
    n, m, degrees = int(window.sum()), int(reference.sum()), len(reference) - 1
    if not (n and m and degrees):
        return Chart(name, 0.0, 0.0, limits.max_shift, "alarm at", n)
    scale = 1 / n + 1 / m
    alarm = max(limits.max_shift, scale * chi_square_quantile(degrees, limits.rate))
    index, noise = stability_index(window, reference), scale * degrees
    level = min(max((index - noise) / (alarm - noise), 0.0), 1.0)
    return Chart(name, level, index, alarm, "alarm at", n)
