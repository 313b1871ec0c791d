"""Courses of tasks, learned job by job through the whole pipeline: what the benchmarks show at full size, small.

The data are scikit-learn's digits, and all that is drawn comes from fixed seeds.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.arms import Arm
from benchmarks.incremental import Course, by_class, learn
from benchmarks.twenty import OF_A_FIT, PLANS, course
from control.sources import Labelled, Splits
from learning.samples import Samples
from tests.pipeline.system import NAMES, digits

PAIRS = [NAMES[first : first + 2] for first in range(0, len(NAMES), 2)]
TRAINING = {"batch_size": 32, "lr": 0.003, "schedule": "cosine", "augmentation": "none"}
NOISE = 60.0  # standard deviation, in grey values: a grain that coarse mixtures do not draw
LATENTS = 64
ROUNDS = 4

Look = Callable[[NDArray[np.uint8]], Samples]


def noisy(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the digits as a camera with noise sees them."""
    grain = np.random.default_rng(len(samples)).normal(0, NOISE, samples.shape)
    return np.clip(np.rint(samples + grain), 0, 255).astype(np.uint8)


def latents(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a frozen front end makes of the digits, (n, LATENTS): a layer of random weights."""
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(0, 1 / 8, (64, LATENTS)), rng.normal(0, 0.3, LATENTS)
    return np.maximum(samples.reshape(-1, 64) / 255 @ weights + bias, 0).astype(np.float32)


def splits(look: Look) -> Splits:
    train, test = (
        Labelled(look(own), labels, NAMES) for own, labels in map(digits, ("train", "test"))
    )
    return Splits(train, test)


def in_pairs(look: Look, architecture: str, epochs: int) -> Course:
    """Return five tasks of two digits each."""
    training = {**TRAINING, "epochs": epochs, "patience": epochs}
    return Course(by_class(splits(look), PAIRS), training, architecture)


def drifting(seed: int) -> Course:
    """Return twenty tasks: each of five digits in turn, rotated further in every round."""
    training = {**TRAINING, "epochs": 4}
    plan = replace(PLANS["drifting"], classes=1, training=training, architecture="dense64")
    of_five = by_class(splits(np.asarray), [NAMES[:5]])[0]
    return course(plan, of_five, (30, 15), 5 * ROUNDS, seed)


async def accuracy(learned: Course, arm: Arm) -> float:
    return (await learn(learned, arm, seed=0)).accuracy


async def test_real_samples_that_compete_among_the_new_classes_alone_leave_more_of_the_old() -> (
    None
):
    tasks = in_pairs(noisy, "dense64", epochs=8)
    coarse = Arm("gmm", {"components": 1, "dimensions": 4}, count=100)

    by_default = await accuracy(tasks, coarse)
    over_all = await accuracy(tasks, replace(coarse, training={"new_loss": "all"}))

    assert by_default > over_all + 0.03


async def test_latents_of_a_frozen_front_end_are_rehearsed_nearly_as_well_as_all_data_at_once() -> (
    None
):
    tasks = in_pairs(latents, "dense32", epochs=10)
    as_many_steps = {"epochs": 50, "patience": 50}

    naive, rehearsed, joint = [
        await accuracy(tasks, arm)
        for arm in (Arm(), Arm("gmm", count=300), Arm(joint=True, training=as_many_steps))
    ]

    assert naive < 0.3
    assert joint > 0.9
    assert rehearsed > joint - 0.05


async def test_twenty_tasks_that_drift_are_kept_by_every_fit_and_lost_by_the_newest_alone() -> None:
    every = Arm("gmm", {"budget_kb": 2}, count=ROUNDS * OF_A_FIT)

    kept, lost = [
        np.array((await learn(drifting(seed=0), arm, seed=0)).matrix[-1])
        for arm in (every, replace(every, fits="newest"))
    ]

    assert len(kept) == 20
    assert kept[:5].mean() > 0.8
    assert kept[:5].mean() > lost[:5].mean() + 0.3
