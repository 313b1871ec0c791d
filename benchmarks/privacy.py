"""What generators give away about the records they were fitted on, and how alike their samples are to real ones.

Of each class as many records are fitted on, held out and left for the control: `fresh real` answers with records that
nobody has seen, as a generator would that knows the true distribution and no record of it. Figures are means over the
classes; what they mean: docs/learning.md.

    python -m benchmarks.privacy --data mnist --seed 0

Needs `RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.report import heading, table
from control.verbs import datasets
from learning.bundle import pack
from learning.evaluation import evaluate
from learning.generators import load
from learning.generators.base import Batch, Generator, Order, Population, Task
from learning.likeness import likeness, tally
from learning.options import Options
from learning.privacy import closeness, membership_by_distance, preference
from learning.reference import Reference
from learning.scaling import Scaling
from schemas.settings import Settings

ARMS: dict[str, Options] = {
    "original": {},
    "original budget=100": {"budget": 100},
    "gmm": {},
    "gmm components=20": {"components": 20},
    "gmm epsilon=4": {"epsilon": 4.0},
    "mix": {},
    "ga": {},
    "ga start=mean": {"start": "mean"},
    "gan": {},
    "gan steps=1000": {"steps": 1000},
}
CONTROL = "fresh real"
PRIVACY = ("copies %", "copies % of real", "preference", "area", "advantage")
QUALITY = ("KB/class", "accuracy %", "fidelity", "coverage", "drift", "CPU s")

Sample = Callable[[int], NDArray[Any]]
"""Samples of a class, by its label."""


@dataclass(frozen=True)
class Records:
    """Real data in three parts of equal size."""

    training: Task
    held_out: Task
    control: Task


@dataclass(frozen=True)
class Arm:
    """A generator that is fitted, or the control. Accuracy is None for the control and a search; time is of the CPU."""

    name: str
    sample: Sample
    bytes_kept: int
    accuracy: float | None
    seconds: float


def records_of(data: str, per_class: int, seed: int) -> Records:
    """Return real records, drawn at random."""
    settings = Settings()
    reading = datasets.read(datasets.Origin(data), settings.data_dir, settings.home / "downloads")
    train = asyncio.run(reading).train
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(train.labels == label))[: 3 * per_class]
        for label in range(len(train.classes))
    ]
    parts = np.stack(drawn).reshape(len(drawn), 3, per_class)
    tasks = (parts[:, part].ravel() for part in range(3))
    return Records(
        *(Task(train.samples[own], train.labels[own], len(train.classes)) for own in tasks)
    )


def arms(records: Records, names: list[str], count: int, seed: int) -> Iterator[Arm]:
    """Yield the control and each generator, fitted on the training records."""
    yield Arm(CONTROL, lambda label: records.control.of_class(label)[:count], 0, None, 0)
    for name in names:
        started = time.process_time()
        generator, options = load(name.split()[0]), ARMS[name]
        state = generator.fit(records.training, options, seed, None, lambda: False).state
        order = Order(state, 0, count, seed, options)
        found = evaluate(generator, order, records.training, records.held_out)
        accuracy = found.accuracy if found else None
        sample = sampler(generator, order, records.training)
        seconds = time.process_time() - started
        yield Arm(name, sample, len(pack(state)), accuracy, seconds)


def sampler(generator: Generator, order: Order, training: Task) -> Sample:
    """Return what draws samples; a search asks a linear model that was trained on the same records."""
    scaling = Scaling.of(training.samples)
    model = LogisticRegression(max_iter=100, tol=1e-2)
    if generator.evolve is not None:
        model.fit(scaling.rows(training.samples), training.labels)

    def draw(label: int) -> NDArray[Any]:
        own = Order(order.state, label, order.count, order.seed, order.options)
        answer: Batch | Population = generator.sample(own)
        while isinstance(answer, Population) and generator.evolve is not None:
            scores = model.predict_proba(scaling.rows(answer.samples))[:, label]
            answer = generator.evolve(own, answer, scores.astype(np.float32))
        return answer.samples

    return draw


def attack(records: Records, arm: Arm) -> tuple[list[float], list[float]]:
    """Return an arm's figures of privacy and of quality, means over the classes."""
    reference, scaling = Reference.of(records.training), Scaling.of(records.training.samples)
    privacy, quality = [], []
    for label in records.training.classes():
        samples = arm.sample(label)
        training, held_out, made = (
            scaling.rows(own)
            for own in (
                records.training.of_class(label),
                records.held_out.of_class(label),
                samples,
            )
        )
        close = closeness(training, made, len(training))
        member = membership_by_distance(training, held_out, made)
        nearer = preference(training, held_out, made)
        shares = [100 * close.copies, 100 * close.copies_real]
        privacy.append([*shares, nearer, member.area, member.advantage])
        known = reference.of_class(label)
        if known is None:
            continue
        figures = likeness(tally(samples, known).astype(np.float64), known)
        if figures is not None:
            quality.append(list(vars(figures).values()))
    return _means(privacy), _means(quality)


def _means(rows: list[list[float]]) -> list[float]:
    return [float(mean) for mean in np.mean(rows, axis=0)]


def main() -> None:
    """Fit each generator, attack it, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mnist", choices=("mnist", "fashion-mnist", "digits"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--records", type=int, default=1000, help="of a class, in each part")
    parser.add_argument("--samples", type=int, default=1000, help="of a class, generated")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    heading(asked.seed, ("rdg-bus", "numpy", "scikit-learn", "torch"))
    records = records_of(asked.data, asked.records, asked.seed)
    privacy, quality = [], []
    for arm in arms(records, asked.arms, asked.samples, asked.seed):
        attacked, alike = attack(records, arm)
        privacy.append([arm.name, *attacked])
        kept = arm.bytes_kept / 1024 / len(records.training.classes())
        accuracy = "" if arm.accuracy is None else 100 * arm.accuracy
        quality.append([arm.name, kept, accuracy, *alike, arm.seconds])
    table("Privacy", ("generator", *PRIVACY), privacy)
    table("Quality", ("generator", *QUALITY), quality)
    size = len(pack(Reference.of(records.training).arrays()))
    print(
        f"\nReference statistics: {size} bytes, {size / len(records.training.classes()):.0f} a class"
    )


if __name__ == "__main__":
    main()
