"""Drift and forgetting are found within so many answers, and chance looks like them no more often than it may."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from learning.monitoring import (
    Chart,
    Counts,
    Expected,
    chi_square_quantile,
    doubt,
    forgetting,
    latents,
    released_with,
    shifts,
    stability_index,
    wrong_at_first,
)
from tests.learning.windows import (
    EVEN_BINS,
    LIMITS,
    RELEASED,
    RUNS,
    SIZE,
    UNSURE,
    WINDOWS,
    drawn,
    histogram,
    judged,
    may_be_false,
    runs_with_an_alarm,
)


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
            lambda level, window: forgetting(level, window, RELEASED, LIMITS),
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
            level = forgetting(level, drawn(rng, SIZE), RELEASED, LIMITS).level
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


@pytest.mark.parametrize("each", [5, 25, 500])
@pytest.mark.parametrize("accuracy", [0.97, 0.875, 0.6])
def test_forgetting_is_quiet_where_the_first_answers_are_no_worse(
    accuracy: float, each: int
) -> None:
    def is_alarmed(rng: np.random.Generator) -> bool:
        def window() -> Counts:
            correct = int(rng.binomial(each, accuracy))
            return judged(correct, each - correct)

        level, expected = 0.0, expected_after(window)
        for _ in range(WINDOWS):
            level = forgetting(level, window(), expected, LIMITS).level
            if level >= 1:
                return True
        return False

    assert runs_with_an_alarm(is_alarmed) <= may_be_false(LIMITS)


@pytest.mark.parametrize("accuracy", [0.97, 0.875, 0.6])
def test_a_fall_since_the_first_answers_is_found(accuracy: float) -> None:
    def needed(seed: int) -> int:
        rng = np.random.default_rng(seed)
        expected = expected_after(lambda: drawn(rng, 50, accuracy=accuracy))
        return answers_until(
            lambda level, window: forgetting(level, window, expected, LIMITS),
            lambda: drawn(rng, 50, accuracy=accuracy - 0.12),
        )

    assert max(needed(seed) for seed in range(RUNS)) <= 1500


def expected_after(window: Callable[[], Counts]) -> Expected:
    """What is expected after as many judged answers as it takes."""
    correct = wrong = 0
    while (expected := wrong_at_first(judged(correct, wrong), LIMITS)) is None:
        seen = window()
        correct, wrong = correct + seen.correct, wrong + seen.wrong
        assert correct + wrong < 10_000, "never enough"
    return expected


@pytest.mark.parametrize(("share", "n"), [(0.05, 684), (0.125, 1575), (0.5, 3600)])
def test_first_answers_are_enough_once_a_fall_that_matters_would_be_found(
    share: float, n: int
) -> None:
    few, enough = (judged(round(k * (1 - share)), round(k * share)) for k in (0.97 * n, 1.03 * n))

    assert wrong_at_first(few, LIMITS) is None
    expected = wrong_at_first(enough, LIMITS)
    assert expected is not None
    assert expected.margin == pytest.approx(LIMITS.max_fall / 2, rel=0.02)


def test_nobody_who_judges_is_nothing_to_go_by() -> None:
    assert wrong_at_first(judged(0, 0), LIMITS) is None


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
    assert 0 < forgetting(0, judged(0, 1), released_with(1.0), LIMITS).level < 1


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_an_empty_window_says_nothing(level: float) -> None:
    rng = np.random.default_rng(0)
    empty, reference = drawn(rng, 0), drawn(rng, 100)

    assert forgetting(level, empty, released_with(0.9), LIMITS).level == level
    assert doubt(level, empty, reference, LIMITS).level == level
    assert [chart.level for chart in shifts(empty, reference, LIMITS)] == [0, 0]
    assert latents(empty, reference, LIMITS).level == 0
    assert latents(reference, empty, LIMITS).level == 0


def test_a_level_falls_again_when_all_is_well() -> None:
    assert forgetting(1.0, judged(100, 0), RELEASED, LIMITS).level < 0.5


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("wrong", [0, 7, 100])
def test_every_accuracy_gives_a_level(accuracy: float, wrong: int) -> None:
    window = judged(100 - wrong, wrong)

    assert 0 <= forgetting(0.5, window, released_with(accuracy), LIMITS).level <= 1


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
    expected = wrong_at_first(judged(1170, 130), LIMITS)
    assert expected is not None

    one = str(forgetting(0, judged(80, 20), RELEASED, LIMITS))
    other = str(forgetting(0, judged(80, 20), expected, LIMITS))

    assert one.startswith("forgetting: wrong 0.200, released with 0.050, of 100 answers (level ")
    assert other.startswith("forgetting: wrong 0.200, at first 0.100, of 100 answers (level ")
