"""What one window of answers does to a watch: the charts of learning/monitoring.py, on what devices have counted.

Each chart begins once the reference has enough of what it compares with; until then a window's counts of it become
part of the reference. So a version of which nobody judges an answer is watched for drift alone, and one whose devices
learn to count latents later is watched for these from then on.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from learning import monitoring
from learning.monitoring import Chart, Counts, Expected, Limits
from schemas.documents import ModelVersion
from schemas.monitoring import BINS, LATENT_BINS, MonitorPolicy, Observed, Watch

COMPARED = {
    "forgetting": {"correct", "wrong"},
    "doubt": {"confidence"},
    "classes": {"predicted"},
    "latents": {"latents"},
}
"""The counts that a chart compares with those of the reference; that of confidence has those of doubt."""


def charted(watch: Watch, window: Observed, version: ModelVersion, policy: MonitorPolicy) -> Watch:
    """Return the watch after a window: its levels, figures and reference. A chart that has not begun is at 0."""
    reference = watch.reference or Observed(since=window.since)
    charts = {chart.name: chart for chart in _charts(watch, reference, window, version, policy)}
    levels = {name: chart.level for name, chart in charts.items()}
    lacking = {count for name in COMPARED.keys() - levels for count in COMPARED[name]}
    added = Observed.model_validate(window.model_dump(include={"since", *lacking}))
    reference = reference.plus(added)
    changes = {
        "reference": reference,
        "forgetting": levels.get("forgetting", 0.0),
        "doubt": levels.get("doubt", 0.0),
        "shift": max(levels.get(name, 0.0) for name in ("confidence", "classes", "latents")),
        "figures": _figures(list(charts.values()), reference),
    }
    return watch.model_copy(update=changes)


def _charts(
    watch: Watch,
    reference: Observed,
    window: Observed,
    version: ModelVersion,
    policy: MonitorPolicy,
) -> Iterator[Chart]:
    limits = Limits(policy.max_fall, policy.max_doubt, policy.max_shift, policy.windows)
    now, then = (_arrays(each, len(version.classes)) for each in (window, reference))
    if expected := _expected(version, then, limits):
        yield monitoring.forgetting(watch.forgetting, now, expected, limits)
    if reference.answers >= policy.reference:
        yield monitoring.doubt(watch.doubt, now, then, limits)
        yield from monitoring.shifts(now, then, limits)
    if then.latents.sum() >= policy.reference:
        yield monitoring.latents(now, then, limits)


def _expected(version: ModelVersion, reference: Counts, limits: Limits) -> Expected | None:
    """Return which share of wrong answers is no surprise; None as long as nothing tells.

    What training held out does not: of older classes it has rehearsal samples, which the model before confirmed.
    """
    if version.scores.of_probe:
        return monitoring.released_with(version.scores.accuracy)
    return monitoring.wrong_at_first(reference, limits)


def _figures(charts: Sequence[Chart], reference: Observed) -> str:
    figures = [str(chart) for chart in charts]
    if not any(chart.name == "forgetting" for chart in charts):
        figures.append(f"forgetting: {reference.judged} judged answers, too few to compare with")
    return "; ".join(figures)


def _arrays(observed: Observed, n_classes: int) -> Counts:
    return Counts(
        _padded(observed.confidence, BINS),
        _padded(observed.predicted, n_classes),
        _padded(observed.latents, LATENT_BINS),
        observed.correct,
        observed.wrong,
    )


def _padded(counts: Sequence[int], length: int) -> monitoring.Histogram:
    histogram = np.zeros(length, np.int64)
    histogram[: len(counts)] = counts
    return histogram
