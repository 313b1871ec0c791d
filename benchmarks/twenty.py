"""Twenty tasks in a row, of classes that come again and look different: what is left of the first ones?

`permuted`: all ten digits in every task, under a permutation of their pixels that is the task's own. No pixel has
anything to do with its neighbour then, so nothing is left of slow cosines, and the mixture takes all 784: a basis like
any other. `drifting`: two digits a task, five tasks a round, and in each of four rounds the digits are rotated further.

Each task draws its own share of MNIST. A class is rehearsed from all its fits, or from its newest alone; a fit keeps
`--budget` KB of a class. What is rehearsed of a class, its fits share: `OF_A_FIT` samples for each at the end, the
least that a fit gives, and a few more than are kept where 8 KB of originals are.

    python -m benchmarks.twenty
    python -m benchmarks.twenty --courses drifting --tasks 10 --train 500

Needs `RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import rotate  # type: ignore[import-untyped]

from benchmarks.arms import ARMS, Arm
from benchmarks.incremental import Course, Result, learn
from benchmarks.report import heading, table
from control.sources import Labelled, Splits
from control.verbs import datasets
from learning.metrics import average_forgetting
from learning.options import Options
from schemas.settings import Settings
from store.fits import LEAST

PIXELS = 28 * 28
DIGITS = 10
PAIRS = 5  # tasks of a round: each pair of digits
DEGREES = 20  # that a round is rotated further than the last
OF_A_FIT = LEAST
FIRST = 5  # tasks that are looked at by themselves

Images = NDArray[np.uint8]
Look = Callable[[Images, int], Images]


@dataclass(frozen=True)
class Plan:
    """One course.

    Attributes:
        classes: Digits of a task.
        look: What the images of the task of that number look like.
        training: Fields of schemas.job.Training.
        at_once: Epochs of `joint` that make about the steps that `gmm` takes over twenty tasks.
        options: Of the mixture.
        architecture: None is the default for images.

    """

    title: str
    classes: int
    look: Look
    training: dict[str, object]
    at_once: int
    options: Options
    architecture: str | None = None


def permuted(images: Images, task: int) -> Images:
    """Return images of the same pixels in another order, the first task's as they are."""
    order = np.random.default_rng(task).permutation(PIXELS) if task else np.arange(PIXELS)
    return images.reshape(-1, PIXELS)[:, order].reshape(images.shape)


def rotated(images: Images, task: int) -> Images:
    """Return images rotated by the angle of the task's round."""
    angle = task // PAIRS * DEGREES
    return np.asarray(rotate(images, angle, axes=(1, 2), reshape=False, order=1), np.uint8)


PLANS = {
    "permuted": Plan(
        "Ten digits in every task, under another permutation of their pixels",
        classes=10,
        look=permuted,
        training={"augmentation": "none"},  # a shift would be no shift
        at_once=48,
        options={"dimensions": PIXELS},
        architecture="dense256 dense256",
    ),
    "drifting": Plan(
        "Two digits in every task, rotated further in every round of five",
        classes=2,
        look=rotated,
        training={},
        at_once=214,
        options={},
    ),
}


def course(plan: Plan, splits: Splits, sizes: tuple[int, int], tasks: int, seed: int) -> Course:
    """Return so many tasks, each of its own share: `sizes` are samples of a class to learn from, and to test on."""
    names = splits.train.classes
    parts = []
    for task in range(tasks):
        start = task * plan.classes % len(names)
        own, rng = names[start : start + plan.classes], np.random.default_rng([seed, task])
        train, test = (
            _seen(split.only(own), size, plan.look, task, rng)
            for split, size in zip((splits.train, splits.test or splits.train), sizes, strict=True)
        )
        parts.append(Splits(train, test))
    return Course(tuple(parts), plan.training, plan.architecture)


def _seen(split: Labelled, size: int, look: Look, task: int, rng: np.random.Generator) -> Labelled:
    """Return so many samples of each class, drawn at random, as they look in that task."""
    places = [np.flatnonzero(split.labels == label) for label in range(len(split.classes))]
    drawn = np.concatenate([rng.permutation(own)[:size] for own in places])
    images = split.samples[drawn].astype(np.uint8)
    return replace(split, samples=look(images, task), labels=split.labels[drawn])


def arms(plan: Plan, budget: int, tasks: int) -> dict[str, Arm]:
    """Return what is compared."""
    times = -(-tasks * plan.classes // DIGITS)  # that a class comes, at most
    count = OF_A_FIT * times
    gmm = Arm("gmm", {"budget_kb": budget, **plan.options}, count)
    return {
        "naive": ARMS["naive"],
        "gmm": gmm,
        "gmm, newest fits": replace(gmm, fits="newest"),
        "original": Arm("original", {"budget_kb": budget}, count),
        "joint": replace(ARMS["joint"], training={"epochs": plan.at_once}),
    }


def _shown(name: str, arm: Arm, result: Result) -> list[object]:
    is_joint, last = arm.joint, result.matrix[-1]
    return [
        name,
        100 * result.accuracy,
        100 * float(np.mean(last[:FIRST])),
        100 * last[-1],
        "" if is_joint else 100 * average_forgetting(np.array(result.matrix)),
        "all" if is_joint else result.bytes_per_class / 1024,
        round(result.seconds),
    ]


def main() -> None:
    """Run the arms of each course and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--courses", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--train", type=int, default=200, help="samples of a class in a task")
    parser.add_argument("--test", type=int, default=100, help="samples of a class in a task")
    parser.add_argument("--budget", type=int, default=8, help="KB of a class in a task")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    settings = Settings()
    reading = datasets.Origin("mnist"), settings.data_dir, settings.home / "downloads"
    splits = asyncio.run(datasets.read(*reading))
    heading(asked.seed, ("numpy", "scipy", "scikit-learn", "torch"))
    columns = ("arm", "accuracy %", f"first {FIRST} %", "last %", "forgetting %")
    for plan in (PLANS[name] for name in asked.courses):
        learned = course(plan, splits, (asked.train, asked.test), asked.tasks, asked.seed)
        rows = [
            _shown(name, arm, asyncio.run(learn(learned, arm, asked.seed)))
            for name, arm in arms(plan, asked.budget, asked.tasks).items()
        ]
        table(plan.title, (*columns, "KB/class, task", "CPU s"), rows)


if __name__ == "__main__":
    main()
