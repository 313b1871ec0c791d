"""A generator's figures tell a good one from a useless one, and one that memorises from both."""

from dataclasses import replace

import numpy as np
import pytest

from learning.evaluation import LEARNED, Evaluation, evaluate
from learning.generators import load
from learning.generators.base import Batch, Generator, Order, Task
from tests.learning.generators.tasks import QUICK, digits, fitted, tabular

WHOLE = digits()
IS_HELD_OUT = np.arange(len(WHOLE.labels)) % 4 == 0
TASK = Task(WHOLE.samples[~IS_HELD_OUT], WHOLE.labels[~IS_HELD_OUT], 10)
HELD_OUT = Task(WHOLE.samples[IS_HELD_OUT], WHOLE.labels[IS_HELD_OUT], 10)


def order(generator: Generator, task: Task = TASK) -> Order:
    options = QUICK[generator.name]
    return Order(fitted(generator, task, options), 0, 1, 0, options)


def found(generator: Generator) -> Evaluation:
    evaluation = evaluate(generator, order(generator), TASK, HELD_OUT)
    assert evaluation is not None
    return evaluation


def noise(asked: Order) -> Batch:
    rng = np.random.default_rng([asked.seed, asked.label])
    return Batch(rng.integers(0, 256, (asked.count, 8, 8)).astype(np.uint8))


def test_stored_originals_are_found_out() -> None:
    figures = found(load("original"))
    assert figures.closeness.copies == 1
    assert figures.closeness.distance == pytest.approx(0, abs=1e-3)
    assert figures.memorises


def test_a_mixture_teaches_and_does_not_memorise() -> None:
    figures = found(load("gmm"))
    assert figures.accuracy is not None
    assert figures.accuracy_real is not None
    assert 0.85 < figures.accuracy < figures.accuracy_real
    assert not figures.memorises


def test_noise_teaches_nothing_and_is_far_from_everything() -> None:
    figures = found(replace(load("gmm"), sample=noise))
    assert figures.accuracy is not None
    assert figures.accuracy < 0.5
    assert figures.closeness.distance > 1.5 * figures.closeness.distance_real
    assert not figures.memorises


def test_originals_with_a_little_noise_are_copies_too() -> None:
    original = load("original")

    def blurred(asked: Order) -> Batch:
        batch = original.sample(asked)
        assert isinstance(batch, Batch)
        return Batch((batch.samples ^ 1).astype(np.uint8))

    assert found(replace(original, sample=blurred)).memorises


def test_without_held_out_samples_there_is_no_accuracy() -> None:
    gmm = load("gmm")
    evaluation = evaluate(gmm, order(gmm), TASK, None)
    assert evaluation is not None
    assert (evaluation.accuracy, evaluation.accuracy_real) == (None, None)
    assert evaluation.closeness.distance > 0


def test_a_search_is_measured_by_what_it_starts_from() -> None:
    ga, nothing = load("ga"), Order(fitted(load("ga"), TASK, {"start": "noise"}), 0, 1, 0, {})
    from_noise = evaluate(ga, nothing, TASK, HELD_OUT)
    from_statistics = evaluate(ga, replace(nothing, state=fitted(ga, TASK, {})), TASK, HELD_OUT)
    for figures, least, most in ((from_noise, 0, 0.5), (from_statistics, 0.85, 1)):
        assert figures is not None
        assert figures.accuracy is not None
        assert least < figures.accuracy < most


def test_nothing_generated_has_no_figures() -> None:
    mute = replace(load("gmm"), sample=lambda asked: Batch(TASK.samples[:0]))
    assert evaluate(mute, order(load("gmm")), TASK, HELD_OUT) is None


def orders_of(task: Task) -> list[Order]:
    """Evaluate a generator that knows each class, and return what it was asked for."""
    orders: list[Order] = []

    def sample(order: Order) -> Batch:
        orders.append(order)
        return Batch(np.resize(task.of_class(order.label), (order.count, *task.samples.shape[1:])))

    knowing = replace(load("original"), sample=sample)
    evaluation = evaluate(knowing, Order({}, 0, 1, 0, {}), task, task)
    assert evaluation is not None
    assert evaluation.accuracy == evaluation.accuracy_real == 1
    return orders


def test_of_very_many_classes_some_are_compared() -> None:
    labels = np.repeat(np.arange(1200), 2)
    samples = np.eye(40, dtype=np.float32)[labels % 40] + 10 * np.eye(40)[labels // 40]
    orders = orders_of(Task(samples.astype(np.float32), labels, 1200))
    assert sum(order.count for order in orders) == LEARNED
    assert len({order.label for order in orders}) == LEARNED / 2


def test_of_very_large_samples_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    work = 5e6  # so that these count as large
    monkeypatch.setattr("learning.evaluation.WORK", work)
    labels = np.arange(40) % 2
    samples = np.zeros((40, 10, 10), np.uint8)
    samples[labels == 1, :5] = 255
    orders = orders_of(Task(samples, labels, 2))
    assert sum(order.count for order in orders) ** 2 * samples[0].size <= work


def test_tables_with_units_far_apart_are_evaluated() -> None:
    gmm, task = load("gmm"), tabular()
    evaluation = evaluate(gmm, order(gmm, task), task, task)
    assert evaluation is not None
    assert evaluation.accuracy == pytest.approx(evaluation.accuracy_real, abs=0.1)
    assert not evaluation.memorises


def test_the_same_fit_has_the_same_figures() -> None:
    first, second = found(load("gmm")), found(load("gmm"))
    assert first.accuracy == second.accuracy
    assert first.closeness == second.closeness
