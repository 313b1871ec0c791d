"""What the tasks of the long courses look like."""

import numpy as np

from benchmarks.twenty import PLANS, course, permuted
from control.sources import Labelled, Splits

NAMES = tuple("0123456789")


def splits() -> Splits:
    """Return 20 images of noise of each digit, for both splits."""
    images = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    every = Labelled(images, np.arange(200) % 10, NAMES)
    return Splits(every, every)


def test_a_permutation_moves_the_same_pixels_of_all_images_and_leaves_the_first_task_alone() -> (
    None
):
    images = splits().train.samples.astype(np.uint8)

    assert np.array_equal(permuted(images, 0), images)
    moved = permuted(images, 3)
    assert not np.array_equal(moved, images)
    assert np.array_equal(np.sort(moved, axis=None), np.sort(images, axis=None))
    assert np.array_equal(moved[:5], permuted(images[:5], 3))


def test_digits_come_again_further_rotated_in_every_round() -> None:
    drifting = course(PLANS["drifting"], splits(), (8, 4), tasks=20, seed=0)

    assert [task.train.classes for task in drifting.tasks[3:7]] == [
        ("6", "7"),
        ("8", "9"),
        ("0", "1"),
        ("2", "3"),
    ]
    assert {len(task.train.labels) for task in drifting.tasks} == {16}
    corners = [task.train.samples[:, 0, 0].max() for task in drifting.tasks]
    assert min(corners[:5]) > 0  # a rotated image has no corners of its own
    assert max(corners[5:]) == 0
