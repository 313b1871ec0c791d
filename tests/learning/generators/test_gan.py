"""What is particular to the adversarial network: it learns, and it resumes."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from learning.generators.base import Order, Task
from learning.generators.gan import generator, sample
from tests.learning.generators.tasks import QUICK, digits, fitted, grey, never, tabular


def test_a_classifier_told_classes_apart_after_a_short_fit() -> None:
    task = digits()
    rows = np.isin(task.labels, [0, 1, 4])
    task = Task(task.samples[rows], task.labels[rows], 10)
    state = fitted(generator, task, {"steps": 300, "width": 8})
    drawn = [sample(Order(state, label, 100, 0, {})).samples for label in task.classes()]
    model = LogisticRegression(max_iter=2000)
    model.fit(np.concatenate(drawn).reshape(300, -1) / 255, np.repeat(task.classes(), 100))
    assert model.score(task.samples.reshape(len(task.samples), -1) / 255, task.labels) > 0.9


def test_samples_of_a_class_differ_from_each_other() -> None:
    state = fitted(generator, grey(), QUICK["gan"])
    samples = sample(Order(state, 2, 10, 0, {})).samples
    assert len(np.unique(samples, axis=0)) == 10


def test_a_pause_is_offered_after_every_step() -> None:
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    generator.fit(tabular(), QUICK["gan"], 0, None, count)
    assert asked == QUICK["gan"]["steps"]


def test_progress_is_the_share_of_steps_done() -> None:
    fit = generator.fit(tabular(), QUICK["gan"], 0, None, lambda: True)
    assert fit.progress == pytest.approx(1 / 4)


def test_a_finished_state_is_the_sampler_alone_at_half_precision() -> None:
    state = fitted(generator, grey(), QUICK["gan"])
    weights = {name: array for name, array in state.items() if name.startswith("sampler.")}
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float16)}
    assert not any("critic" in name or "exp_avg" in name for name in state)


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    generator.fit(grey(), QUICK["gan"], 0, None, never)
    assert torch.get_num_threads() == before


def test_torch_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fitted(generator, grey(), QUICK["gan"])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = fitted(generator, grey(), QUICK["gan"])
    np.testing.assert_array_equal(first["sampler.out"], second["sampler.out"])
