"""What came of jobs, for people: tables and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from control.sheet import contact_sheet
from learning.bundle import unpack
from learning.scaling import some
from schemas.documents import Fitted, Job, ModelVersion, RehearsalSet
from schemas.job import RehearsalSpec
from store.base import Store
from store.errors import NotFound

SHOWN = 16  # samples of a class on a contact sheet

STAGES = (
    "planning",
    "fitting",
    "generation",
    "prediction",
    "labelling",
    "collection",
    "review",
    "training",
    "releasing",
)


@dataclass(frozen=True)
class Result:
    """One way to learn new classes, and what it gave; accuracies in [0, 1].

    `kept` is what is kept of an old class, in bytes; None where everything is.
    """

    name: str
    old: float
    new: float
    accuracy: float
    forgetting: float
    kept: float | None
    seconds: float
    bytes_moved: float


async def result_of(store: Store, name: str, job: Job, old: Sequence[str]) -> Result:
    """Return what a finished rehearsal job gave.

    Args:
        store: Where its results are.
        name: What to call it.
        job: It has completed.
        old: Names of the classes that the model knew before.
    """
    version = await store.get(ModelVersion, str(job.result))
    scores = version.scores.per_class
    before = version.before.per_class if version.before else {}
    costs = await store.tallies(job.id)
    return Result(
        name=name,
        old=_mean([scores[each] for each in old]),
        new=_mean([share for each, share in scores.items() if each not in old]),
        accuracy=version.scores.accuracy,
        forgetting=_mean([max(0.0, before[each] - scores[each]) for each in old if each in before]),
        kept=await _kept(store, job, old),
        seconds=_sum(costs, "seconds"),
        bytes_moved=_sum(costs, "bytes_out"),
    )


async def _kept(store: Store, job: Job, old: Sequence[str]) -> float | None:
    if isinstance(job.spec, RehearsalSpec) and job.spec.from_scratch:
        return None
    names = {key for each in old for key in job.fitted.get(each, ())}
    return sum([(await store.get(Fitted, name)).kept_bytes for name in names]) / len(old)


def comparison_table(results: Sequence[Result]) -> Table:
    """Return the ways side by side."""
    table = Table(title="Learning 5-9 after 0-4, scored on the test digits")
    table.add_column("way")
    for heading in ("old %", "new %", "all %", "forgot %", "kept B/class", "work s", "bus KB"):
        table.add_column(heading, justify="right")
    for each in results:
        shares = [f"{100 * x:.1f}" for x in (each.old, each.new, each.accuracy, each.forgetting)]
        kept = "all" if each.kept is None else f"{each.kept:,.0f}"
        cost = [f"{each.seconds:.1f}", f"{each.bytes_moved / 1024:,.0f}"]
        table.add_row(each.name, *shares, kept, *cost)
    return table


def stage_table(title: str, costs: Mapping[str, float]) -> Table:
    """Return what each stage of a job cost."""
    table = Table(title=title)
    table.add_column("stage")
    for heading in ("messages", "seconds", "KB in", "KB out"):
        table.add_column(heading, justify="right")
    for stage in STAGES:
        if f"{stage}.messages" in costs:
            cells = [f"{costs[f'{stage}.messages']:.0f}", f"{costs[f'{stage}.seconds']:.2f}"]
            cells += [f"{costs[f'{stage}.bytes_{way}'] / 1024:,.1f}" for way in ("in", "out")]
            table.add_row(stage, *cells)
    return table


async def draw_set(store: Store, job: Job, path: Path) -> Path | None:
    """Draw a job's rehearsal set as a contact sheet; None if it has none."""
    try:
        kept = await store.get(RehearsalSet, job.run)
    except NotFound:
        return None
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in kept.counts}
    for part in kept.parts:
        rows[part.target].append(unpack(await store.get_part(part.digest))["samples"])
    drawn = [(name, some(np.concatenate(own), SHOWN)) for name, own in rows.items() if own]
    return contact_sheet(drawn, path)


def _mean(shares: Sequence[float]) -> float:
    return float(np.mean(shares)) if shares else 0.0


def _sum(costs: Mapping[str, float], what: str) -> float:
    return sum(value for name, value in costs.items() if name.endswith(f".{what}"))
