"""Drift and forgetting are found within so many answers, and chance looks like them no more often than it may."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.monitoring import (
    Chart,
    Counts,
    Limits,
    chi_square_quantile,
    doubt,
    forgetting,
    shifts,
    stability_index,
)

LIMITS = Limits(max_fall=0.05, max_doubt=0.1, max_shift=0.25, windows=1000)
SURE = (0.005, 0.005, 0.01, 0.01, 0.02, 0.03, 0.04, 0.08, 0.15, 0.65)  # 5 of 100 are unsure
UNSURE = (0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.1, 0.15, 0.15, 0.25)  # 25 of 100
EVEN_BINS = (0.1,) * 10
EVEN = (0.25, 0.25, 0.25, 0.25)
RUNS, WINDOWS, SIZE = 200, 100, 100


def drawn(
    rng: np.random.Generator,
    n: int,
    confidence: Sequence[float] = SURE,
    classes: Sequence[float] = EVEN,
    accuracy: float = 0.95,
) -> Counts:
    """Answers that are independent of each other; all were judged."""
    correct = int(rng.binomial(n, accuracy))
    return Counts(rng.multinomial(n, confidence), rng.multinomial(n, classes), correct, n - correct)


def runs_with_an_alarm(run: Callable[[np.random.Generator], bool]) -> int:
    return sum(run(np.random.default_rng(seed)) for seed in range(RUNS))


def may_be_false(limits: Limits) -> float:
    """The most runs with a false alarm of one chart that are to be expected."""
    return RUNS * WINDOWS / (4 * limits.windows)


def answers_until(alarm: Callable[[float, Counts], Chart], now: Callable[[], Counts]) -> int:
    level, answers = 0.0, 0
    while level < 1:
        window = now()
        level = alarm(level, window).level
        answers += window.correct + window.wrong
        assert answers < 100_000, "never an alarm"
    return answers


def test_forgetting_is_found_within_600_answers() -> None:
    def needed(seed: int) -> int:
        rng = np.random.default_rng(seed)
        return answers_until(
            lambda level, window: forgetting(level, window, 0.95, LIMITS),
            lambda: drawn(rng, 50, accuracy=0.87),
        )

    assert max(needed(seed) for seed in range(RUNS)) <= 600


def test_doubt_is_found_within_600_answers() -> None:
    def needed(seed: int) -> int:
        rng = np.random.default_rng(seed)
        reference = drawn(rng, 2000)
        return answers_until(
            lambda level, window: doubt(level, window, reference, LIMITS),
            lambda: drawn(rng, 50, UNSURE),
        )

    assert max(needed(seed) for seed in range(RUNS)) <= 600


def test_forgetting_is_quiet_where_nothing_is_forgotten() -> None:
    def is_alarmed(rng: np.random.Generator) -> bool:
        level = 0.0
        for _ in range(WINDOWS):
            level = forgetting(level, drawn(rng, SIZE), 0.95, LIMITS).level
            if level >= 1:
                return True
        return False

    assert runs_with_an_alarm(is_alarmed) <= may_be_false(LIMITS)


@pytest.mark.parametrize("n", [100, 2000])
def test_doubt_is_quiet_where_nothing_changes(n: int) -> None:
    def is_alarmed(rng: np.random.Generator) -> bool:
        level, reference = 0.0, drawn(rng, n, EVEN_BINS)
        for _ in range(WINDOWS):
            level = doubt(level, drawn(rng, SIZE, EVEN_BINS), reference, LIMITS).level
            if level >= 1:
                return True
        return False

    assert runs_with_an_alarm(is_alarmed) <= may_be_false(LIMITS)


@pytest.mark.parametrize("n", [100, 5000])
def test_histograms_are_quiet_where_nothing_changes(n: int) -> None:
    chance_alone = replace(LIMITS, max_shift=0.0, windows=250)

    def is_alarmed(rng: np.random.Generator) -> bool:
        reference = drawn(rng, 2000)
        windows = (drawn(rng, n) for _ in range(WINDOWS))
        return any(
            chart.level >= 1
            for window in windows
            for chart in shifts(window, reference, chance_alone)
        )

    assert runs_with_an_alarm(is_alarmed) <= 2 * may_be_false(chance_alone)


def test_one_window_of_another_confidence_is_an_alarm() -> None:
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)

        confidence, classes = shifts(drawn(rng, 500, UNSURE), drawn(rng, 2000), LIMITS)

        assert confidence.level == 1
        assert classes.level < 0.5


def test_one_window_of_other_classes_is_an_alarm() -> None:
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        now = drawn(rng, 500, classes=(0.6, 0.2, 0.1, 0.1))

        confidence, classes = shifts(now, drawn(rng, 2000), LIMITS)

        assert classes.level == 1
        assert confidence.level < 0.5


def test_a_shift_that_is_certain_but_small_is_no_alarm() -> None:
    rng = np.random.default_rng(0)
    millions = drawn(rng, 10_000_000, classes=(0.26, 0.25, 0.25, 0.24))

    _, classes = shifts(millions, drawn(rng, 10_000_000), LIMITS)

    assert classes.value > 1e-4
    assert classes.level < 0.01


def test_many_classes_and_few_answers_are_no_alarm() -> None:
    rng = np.random.default_rng(0)
    shares = (1 / 500,) * 500

    _, classes = shifts(drawn(rng, 500, classes=shares), drawn(rng, 1000, classes=shares), LIMITS)

    assert classes.value > LIMITS.max_shift
    assert classes.level < 0.5


def test_chance_alone_is_far_from_an_alarm() -> None:
    rng = np.random.default_rng(0)
    shares = (1 / 100,) * 100

    _, classes = shifts(drawn(rng, 600, classes=shares), drawn(rng, 2000, classes=shares), LIMITS)

    assert classes.value > 0.7 * classes.expected
    assert classes.level < 0.5


def test_one_error_is_no_alarm_even_of_a_release_without_any() -> None:
    window = Counts(histogram(0, 1), histogram(1), correct=0, wrong=1)

    assert 0 < forgetting(0, window, 1.0, LIMITS).level < 1


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_an_empty_window_says_nothing(level: float) -> None:
    empty = Counts(np.zeros(10, np.int64), np.zeros(4, np.int64), 0, 0)
    reference = drawn(np.random.default_rng(0), 100)

    assert forgetting(level, empty, 0.9, LIMITS).level == level
    assert doubt(level, empty, reference, LIMITS).level == level
    assert [chart.level for chart in shifts(empty, reference, LIMITS)] == [0, 0]


def test_a_level_falls_again_when_all_is_well() -> None:
    right = Counts(histogram(0, 100), histogram(100), correct=100, wrong=0)

    assert forgetting(1.0, right, 0.95, LIMITS).level < 0.5


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("wrong", [0, 7, 100])
def test_every_accuracy_gives_a_level(accuracy: float, wrong: int) -> None:
    window = Counts(histogram(0, 100), histogram(100), correct=100 - wrong, wrong=wrong)

    assert 0 <= forgetting(0.5, window, accuracy, LIMITS).level <= 1


def test_the_index_of_equal_shares_is_nothing_and_it_is_symmetric() -> None:
    one, other = histogram(10, 20, 30), histogram(30, 20, 10)

    assert stability_index(one, one) == 0
    assert stability_index(one, other) == pytest.approx(stability_index(other, one))


def test_the_index_is_that_of_its_formula() -> None:
    p, q = np.array([10.5, 30.5]) / 41, np.array([20.5, 20.5]) / 41
    expected = ((q - p) * np.log(q / p)).sum()

    assert stability_index(histogram(20, 20), histogram(10, 30)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("degrees", "rate", "exact"),
    [
        (1, 1e-2, 6.635),
        (1, 2.5e-4, 13.412),
        (9, 1e-2, 21.666),
        (9, 2.5e-4, 31.427),
        (99, 2.5e-4, 155.506),
        (999, 2.5e-4, 1162.039),
    ],
)
def test_the_quantile_is_near_the_exact_one(degrees: int, rate: float, exact: float) -> None:
    assert 0.99 * exact < chi_square_quantile(degrees, rate) < 1.06 * exact


def test_a_chart_says_its_figures() -> None:
    window = Counts(histogram(0, 100), histogram(100), correct=80, wrong=20)

    text = str(forgetting(0, window, 0.95, LIMITS))

    assert text.startswith("forgetting: wrong 0.200, released with 0.050, of 100 answers (level ")


def histogram(*counts: int) -> NDArray[np.int64]:
    return np.array(counts, np.int64)
