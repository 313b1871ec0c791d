"""What a task refuses."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.base import Task

SAMPLES = np.zeros((3, 4), np.float32)
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("samples", "labels", "message"),
    [
        (SAMPLES.astype(np.float64), LABELS, "uint8 or float32"),
        (SAMPLES[:, 0], LABELS, "uint8 or float32"),
        (SAMPLES, LABELS[:2], "one for each sample"),
        (SAMPLES[:0], LABELS[:0], "one for each sample"),
        (SAMPLES, LABELS + 1, r"\[0, n_classes=2\)"),
        (SAMPLES, LABELS - 1, r"\[0, n_classes=2\)"),
        (SAMPLES * np.float32("nan"), LABELS, "must be finite"),
    ],
)
def test_a_task_that_breaks_a_rule_is_refused(
    samples: NDArray[Any], labels: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Task(samples, labels, 2)


def test_classes_without_samples_are_not_listed() -> None:
    assert Task(SAMPLES, LABELS * 4, 6).classes() == [0, 4]
