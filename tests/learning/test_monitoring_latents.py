"""What a network makes of its input tells of a drift that its answers hide."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from learning import monitoring
from learning.inference import forward
from learning.monitoring import Counts, latents, shifts
from learning.network import Parameters
from learning.problem import Examples, Options, Problem
from learning.training import advance, begin, result
from tests.learning.windows import (
    LIMITS,
    RUNS,
    WINDOWS,
    binned,
    drawn,
    histogram,
    latent_shares,
    may_be_false,
    of_latents,
    runs_with_an_alarm,
)

TEXT, SHAPE = "conv8 pool dense32", (8, 8)


@pytest.fixture(scope="module")
def digits() -> Examples:
    flat, labels = load_digits(return_X_y=True)
    return Examples((flat.reshape(-1, *SHAPE) * 15.9).astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="module")
def network(digits: Examples) -> Parameters:
    """What a network learns from every other digit."""
    options = Options(epochs=6, batch_size=32)
    known = digits.take(np.arange(0, len(digits), 2))
    problem = Problem(TEXT, SHAPE, 10, known, None, None, tuple(range(10)))
    return result(advance(problem, begin(problem, options, 0), options, 0, lambda: False))


def seen(network: Parameters, samples: NDArray[np.uint8]) -> Counts:
    """Return the counts of a device that answers for the samples."""
    outputs = forward(TEXT, network, samples)
    confidence, _ = np.histogram(outputs.probabilities.max(axis=1), 10, (0, 1))
    predicted = np.bincount(outputs.probabilities.argmax(axis=1), minlength=10)
    return Counts(confidence, predicted, binned(outputs.latents), 0, 0)


@pytest.mark.parametrize("n", [500, 5000])
@pytest.mark.parametrize("spread", [0.02, 0.25, 1.0])
def test_latents_are_quiet_where_nothing_changes(n: int, spread: float) -> None:
    chance_alone = replace(LIMITS, max_shift=0.0, windows=250)

    def is_alarmed(rng: np.random.Generator) -> bool:
        def window(size: int) -> Counts:
            return of_latents(rng.multinomial(size, latent_shares(1.0, spread)))

        reference = window(2000)
        return any(latents(window(n), reference, chance_alone).level >= 1 for _ in range(WINDOWS))

    assert runs_with_an_alarm(is_alarmed) <= may_be_false(chance_alone)


@pytest.mark.parametrize("scale", [0.7, 1.5, 1e6])
def test_one_window_of_scaled_activations_is_an_alarm_of_latents_alone(scale: float) -> None:
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        now, then = drawn(rng, 500, scale=scale), drawn(rng, 2000)

        assert latents(now, then, LIMITS).level == 1
        assert max(chart.level for chart in shifts(now, then, LIMITS)) < 0.5


@pytest.mark.parametrize("spread", [0.001, 0.1, 0.5, 3.0])
def test_groups_of_latents_hold_enough_for_a_chi_square(spread: float) -> None:
    for seed in range(RUNS):
        reference = binned(np.random.default_rng(seed).lognormal(0, spread, 500))

        held = np.add.reduceat(reference, monitoring._groups(reference))

        assert held.sum() == 500
        assert len(held) <= 10
        assert held.min() >= 50


def test_latents_that_are_all_alike_say_nothing() -> None:
    alike, other = of_latents(histogram(0, 500, 0)), of_latents(histogram(500, 0, 0))

    assert latents(other, alike, LIMITS).level == 0


def test_a_real_network_is_quiet_in_its_world_and_notices_a_light_that_its_answers_do_not(
    digits: Examples, network: Parameters
) -> None:
    rng = np.random.default_rng(0)
    unseen = digits.samples[1::2]
    reference = seen(network, rng.choice(unseen, 2000))
    brighter = np.minimum(unseen * 1.3, 255).astype(np.uint8)

    quiet = [seen(network, rng.choice(unseen, 500)) for _ in range(20)]
    drifted = seen(network, rng.choice(brighter, 500))

    assert max(latents(window, reference, LIMITS).level for window in quiet) < 0.5
    assert latents(drifted, reference, LIMITS).level == 1
    assert max(chart.level for chart in shifts(drifted, reference, LIMITS)) < 0.5
