"""What is kept of a training that gets better and worse, and when it is no use to go on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from learning.generators.base import Task
from learning.generators.networks import Weights
from learning.generators.watch import LOOKED, Watch
from tests.learning.generators.tasks import digits


def spoiled(by: float) -> Weights:
    """Return weights that `Painter` draws real samples with, but for a share that is the class's mean."""
    return {"spoiled": torch.tensor([by])}


class Painter:
    """Draws real samples, as spoiled as the weights say, and counts them."""

    def __init__(self, task: Task) -> None:
        self.drawn: list[tuple[int, int]] = []
        self._task = task

    def __call__(self, weights: Weights, label: int, count: int) -> NDArray[np.uint8]:
        self.drawn.append((label, count))
        samples = np.resize(self._task.of_class(label), (count, 8, 8))
        samples[: round(float(weights["spoiled"]) * count)] = samples.mean(axis=0)
        return samples


def begun(task: Task) -> Watch:
    return Watch.begin(task, Painter(task))


def test_the_best_weights_are_kept_not_the_last() -> None:
    watch = begun(digits(3))
    for step, share in enumerate((0.9, 0.2, 0.5), start=1):
        watch.look(step, spoiled(share))
    assert watch.step == 2
    assert float(watch.best["spoiled"]) == pytest.approx(0.2)
    assert 0 < watch.drift < 0.5


def test_weights_that_train_on_do_not_change_the_best() -> None:
    watch, weights = begun(digits(3)), spoiled(0.2)
    watch.look(1, weights)
    weights["spoiled"].fill_(0.7)
    assert float(watch.best["spoiled"]) == pytest.approx(0.2)


def test_a_fall_far_below_the_best_is_a_collapse() -> None:
    watch = begun(digits(3))
    watch.look(1, spoiled(0.1))
    watch.look(2, spoiled(0.6))
    assert not watch.collapsed
    watch._drift_of = lambda weights: 1.1  # type: ignore[method-assign]
    watch.look(3, spoiled(1.0))
    assert watch.collapsed
    assert watch.step == 1


def test_a_poor_beginning_is_no_collapse() -> None:
    watch, drifts = begun(digits(3)), iter((1.5, 3.0))
    watch._drift_of = lambda weights: next(drifts)  # type: ignore[method-assign]
    watch.look(1, spoiled(0))
    watch.look(2, spoiled(0))
    assert not watch.collapsed


def test_weights_beyond_number_are_a_collapse_and_never_the_best() -> None:
    watch = begun(digits(3))
    watch.look(1, spoiled(math.nan))
    assert watch.collapsed
    assert watch.best == {}


def test_classes_of_very_few_samples_are_not_looked_at() -> None:
    task = digits(3)
    few = task.labels.copy()
    few[np.flatnonzero(few == 1)[9:]] = 0
    painter = Painter(replace(task, labels=few))
    Watch.begin(replace(task, labels=few), painter).look(1, spoiled(0))
    assert [label for label, _ in painter.drawn] == [0, 2]


def test_where_no_class_has_statistics_the_newest_weights_are_the_best() -> None:
    task = digits(3)
    rows = [np.flatnonzero(task.labels == label)[:5] for label in task.classes()]
    few = np.concatenate(rows)
    watch = begun(Task(task.samples[few], task.labels[few], 10))
    watch.look(1, spoiled(0.1))
    watch.look(2, spoiled(0.9))
    assert (watch.step, watch.collapsed) == (2, False)


@pytest.mark.parametrize("classes", [1, 3, 100])
def test_the_work_of_a_look_is_bounded(classes: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (classes * 12, 8, 8), dtype=np.uint8)
    task = Task(samples, np.arange(len(samples)) % classes, classes)
    painter = Painter(task)
    Watch.begin(task, painter).look(1, spoiled(0))
    assert LOOKED / 2 < sum(count for _, count in painter.drawn) <= LOOKED
    assert min(count for _, count in painter.drawn) >= 10


def test_a_watch_continues_from_its_checkpoint() -> None:
    task = digits(3)
    watch = begun(task)
    watch.look(1, spoiled(0.3))
    again = Watch.resume(unpack(pack(watch.checkpoint())), task, Painter(task))
    for each in (watch, again):
        each.look(2, spoiled(0.4))
    assert pack(again.checkpoint()) == pack(watch.checkpoint())


def test_a_checkpoint_of_a_release_that_did_not_watch_is_refused() -> None:
    task = digits(3)
    with pytest.raises(ValueError, match="checkpoint: made by an earlier release"):
        Watch.resume({"step": np.array(5)}, task, Painter(task))
