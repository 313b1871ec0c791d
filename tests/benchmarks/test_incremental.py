"""A course of tasks is measured task by task, also where a class comes in several and looks different."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.arms import Arm
from benchmarks.incremental import Course, learn
from control.sources import Labelled, Splits
from tests.pipeline.system import digits

CLASSES = ("0", "1", "2")
TRAINING = {"epochs": 12, "batch_size": 32, "lr": 0.002, "augmentation": "none"}


def split(name: str, is_dark: bool) -> Labelled:
    samples, labels = digits(name)
    wanted = labels < len(CLASSES)
    seen = 255 - samples if is_dark else samples
    return Labelled(seen[wanted], labels[wanted], CLASSES)


def by_day_and_night() -> Course:
    tasks = [Splits(split("train", is_dark), split("test", is_dark)) for is_dark in (False, True)]
    return Course(tuple(tasks), TRAINING, "dense32")


async def measured(arm: Arm) -> NDArray[np.float64]:
    """Return the accuracy on each task after each task, having checked what is told beside it."""
    result = await learn(by_day_and_night(), arm, seed=0)
    matrix = np.array(result.matrix)
    assert np.isclose(
        result.accuracy, matrix[-1].mean()
    )  # the tasks have as many samples to test on
    return matrix


async def test_what_a_class_looked_like_in_the_first_task_is_measured_after_the_second() -> None:
    naive, rehearsed = await measured(Arm()), await measured(Arm("gmm", count=100))

    assert naive.shape == rehearsed.shape == (2, 2)
    assert np.isnan(naive[0, 1])
    assert rehearsed[-1].min() > 0.9
    assert naive[-1, 0] < rehearsed[-1, 0] - 0.2


async def test_all_tasks_at_once_have_one_row() -> None:
    matrix = await measured(Arm(joint=True))

    assert matrix.shape == (1, 2)
    assert matrix.min() > 0.9
