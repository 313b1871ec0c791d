"""What the jobs of a chaos run ask for, and what each must come to.

A chain is a fixed row of small jobs on one model: each builds on what the ones before it left, and together they enter
every state and every stage. So a result that was lost or applied twice shows in all that follow. A chain depends on its
seed alone: it is run once without any fault, and whatever disturbs it later, it must come to the same outcomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.documents import Fitted, Job, ModelVersion, RehearsalSet
from schemas.job import FitSpec, RehearsalSpec, Spec
from store.base import Store
from tests.pipeline.system import add_digits, embedded

DATASETS = {"zero-one": "01", "two-three": "23", "four-five": "45"}
SEEDS = 3
BATCH_SIZE = 32
ANY = {"filter": {"min_confidence": 0.0}, "review": {"min_count": 0}}
"""For a model this small, whose word on a sample says little."""


@dataclass(frozen=True)
class Size:
    """How much work the jobs are: more epochs are more slices, more generations more rounds of the search."""

    epochs: int = 4
    generations: int = 2
    count: int = 12


@dataclass(frozen=True)
class Step:
    """One job of a chain."""

    name: str
    asked: Mapping[str, Any]

    def spec(self, model: str, seed: int, size: Size) -> Spec:
        """Return what it asks for on behalf of a chain."""
        fields = {**self.asked, "model": model, "seed": seed}
        if fields.get("generator") == "ga":
            fields["options"] = {"population": 4, "generations": size.generations}
        if "data" in fields:
            return FitSpec.model_validate(fields)
        training = {"epochs": size.epochs, "batch_size": BATCH_SIZE}
        fields["training"] = {**training, **fields.get("training", {})}
        return RehearsalSpec.model_validate({"count": size.count, **fields})


GMM = {"generator": "gmm", "options": {"components": 2, "dimensions": 8}}
OLD = {"classes": ("0", "1"), "fit_new": False}

CHAIN: tuple[Step, ...] = (
    Step("first version, gmm fitted", {"new_data": "zero-one", **GMM}),
    Step("original fitted", {"data": "zero-one", "generator": "original"}),
    Step("rehearsed with gmm", {"new_data": "two-three", **GMM, **ANY}),
    Step("ga fitted", {"data": "zero-one", "generator": "ga"}),
    Step(
        "rejected by the review",
        {
            "new_data": "four-five",
            "generator": "original",
            **OLD,
            "review": {"min_count": 10_000},
        },
    ),
    Step(
        "refused at the gate",
        {"new_data": "four-five", "training": {"lr": 1e-6}, "gates": {"min_accuracy": 1.0}},
    ),
    Step(
        "rehearsed with ga, kept back",
        {"new_data": "four-five", "generator": "ga", **OLD, **ANY, "release": False},
    ),
    Step(
        "rehearsed with original",
        {"new_data": "four-five", "generator": "original", **OLD},
    ),
)
LONE = Step("trained alone, kept back", {"new_data": "zero-one", "release": False})
"""A chain of one, which may be cut short without others missing it."""


@dataclass(frozen=True)
class Outcome:
    """What a job came to: enough to tell a result that is not the same, bit for bit."""

    state: str
    result: str
    samples: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lessons:
    """The jobs of a size, and what each comes to when nothing disturbs it."""

    size: Size
    seeds: int
    outcomes: Mapping[tuple[str, int], Outcome]

    def spec(self, step: Step, model: str, number: int) -> Spec:
        """Return what a step of chain `number` asks for."""
        return step.spec(model, number % self.seeds, self.size)

    def outcome(self, step: Step, number: int) -> Outcome:
        """Return what it comes to."""
        return self.outcomes[step.name, number % self.seeds]


async def add_data(store: Store) -> None:
    """Store the data sets that the chains learn."""
    for name, classes in DATASETS.items():
        await add_digits(store, name, classes)


async def lessons(folder: Path, size: Size, seeds: int = SEEDS) -> Lessons:
    """Run a chain of each seed in this process, on a bus in memory, undisturbed."""
    outcomes: dict[tuple[str, int], Outcome] = {}
    async with embedded(folder, slice_s=0.2) as system:
        await add_data(system.store)
        for seed in range(seeds):
            for step in (*CHAIN, LONE):
                model = f"{'lone' if step is LONE else 'chain'}-{seed}"
                number = len(outcomes)
                job = await system.run(f"undisturbed-{number}", step.spec(model, seed, size))
                outcomes[step.name, seed] = await outcome(system.store, job)
    return Lessons(size, seeds, outcomes)


async def outcome(store: Store, job: Job) -> Outcome:
    """Return what a job that is over came to. A version goes by its number, a fit by its digest alone."""
    if job.state != "completed":
        return Outcome(job.state, "")
    if isinstance(job.spec, FitSpec):
        fitted = await store.get(Fitted, str(job.result))
        return Outcome(job.state, "fitted", weights=(fitted.digest,))
    version = await store.get(ModelVersion, str(job.result))
    kept = (await store.get(RehearsalSet, job.run)).parts if job.fitted else ()
    return Outcome(
        job.state,
        f"@{version.number} {version.status}",
        tuple(part.digest for part in kept),
        tuple(part.digest for part in version.parts),
    )
