"""What is particular to the adversarial network: it learns, and it resumes."""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack
from sklearn.linear_model import LogisticRegression

from learning.generators import gan
from learning.generators.base import Order, Task
from learning.generators.gan import generator, sample
from tests.learning.generators.tasks import QUICK, digits, fitted, grey, never, tabular


def test_a_classifier_told_classes_apart_after_a_short_fit() -> None:
    task = digits()
    rows = np.isin(task.labels, [0, 1, 4])
    task = Task(task.samples[rows], task.labels[rows], 10)
    state = fitted(generator, task, {"steps": 150, "width": 8, "lr": 3e-3})
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


def test_a_fit_that_pauses_around_its_looks_ends_in_the_same_state() -> None:
    options = {**QUICK["gan"], "steps": 7, "look": 2}
    fit = generator.fit(grey(), options, 0, None, lambda: True)
    while fit.progress < 1:
        fit = generator.fit(grey(), options, 0, unpack(pack(dict(fit.state))), lambda: True)
    assert pack(dict(fit.state)) == pack(dict(fitted(generator, grey(), options)))


def poison(monkeypatch: pytest.MonkeyPatch, value: float, after: int = 60) -> None:
    """Show the networks images of one value from some step on, instead of the task's."""
    original = gan._Batches.of_step

    def of_step(self: gan._Batches, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        real, classes, latents = original(self, step)
        return torch.full_like(real, value) if step >= after else real, classes, latents

    monkeypatch.setattr(gan._Batches, "of_step", of_step)


LOOKING = {"width": 4, "latent": 8, "batch": 16, "lr": 5e-3, "look": 20}


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_training_that_gets_worse_gives_the_best_weights_it_had(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    best = fitted(generator, digits(2), {**LOOKING, "steps": 60})
    poison(monkeypatch, value)
    found = fitted(generator, digits(2), {**LOOKING, "steps": 90})
    assert pack(dict(found)) == pack(dict(best))


def test_the_best_weights_survive_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    best = fitted(generator, digits(2), {**LOOKING, "steps": 60})
    poison(monkeypatch, 1.0)
    options, pauses = {**LOOKING, "steps": 90}, iter(range(1, 91))
    fit = generator.fit(digits(2), options, 0, None, lambda: next(pauses) == 70)
    assert fit.progress == pytest.approx(70 / 90)
    fit = generator.fit(digits(2), options, 0, unpack(pack(dict(fit.state))), never)
    assert pack(dict(fit.state)) == pack(dict(best))


def test_a_training_that_gets_no_better_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poison(monkeypatch, 1.0)
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    options = {**LOOKING, "steps": 1_000_000, "patience": 3}
    with caplog.at_level("INFO", "rdg.gan"):
        fit = generator.fit(digits(2), options, 0, None, count)
    assert fit.progress == 1
    assert asked <= 140
    (line,) = caplog.messages
    assert re.fullmatch(
        r"training ended after step 1\d0 of 1000000: it got no better; "
        r"the best, a drift of [01]\.\d+, was after step [68]0",
        line,
    )


def test_a_training_that_takes_all_its_steps_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "rdg.gan"):
        fitted(generator, grey(), QUICK["gan"])
    assert caplog.messages == []


def test_a_training_that_diverges_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, np.nan, after=0)
    with pytest.raises(ValueError, match="option 'lr': training diverged"):
        fitted(generator, grey(), QUICK["gan"])


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
