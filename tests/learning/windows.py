"""Windows of answers that are drawn as they come: independent of each other."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from learning.monitoring import Counts, Limits, released_with
from schemas.monitoring import LATENT_BINS, LATENT_EDGES

LIMITS = Limits(max_fall=0.05, max_doubt=0.1, max_shift=0.25, windows=1000)
SURE = (0.005, 0.005, 0.01, 0.01, 0.02, 0.03, 0.04, 0.08, 0.15, 0.65)  # 5 of 100 are unsure
UNSURE = (0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.1, 0.15, 0.15, 0.25)  # 25 of 100
EVEN_BINS = (0.1,) * 10
EVEN = (0.25, 0.25, 0.25, 0.25)
RELEASED = released_with(0.95)
RUNS, WINDOWS, SIZE = 200, 100, 100


def drawn(
    rng: np.random.Generator,
    n: int,
    confidence: Sequence[float] = SURE,
    classes: Sequence[float] = EVEN,
    accuracy: float = 0.95,
    scale: float = 1.0,
) -> Counts:
    """Answers that are independent of each other, with latents of about that scale; all were judged."""
    correct = int(rng.binomial(n, accuracy))
    said = rng.multinomial(n, confidence), rng.multinomial(n, classes)
    return Counts(*said, rng.multinomial(n, latent_shares(scale)), correct, n - correct)


@cache
def latent_shares(scale: float = 1.0, spread: float = 0.25) -> tuple[float, ...]:
    """The share of each bin that devices count latents in, where these are lognormal."""
    sizes = scale * np.random.default_rng(0).lognormal(0, spread, 100_000)
    return tuple((binned(sizes) / len(sizes)).tolist())


def binned(sizes: NDArray[np.floating]) -> NDArray[np.int64]:
    """Latents as devices count them."""
    return np.bincount(np.searchsorted(LATENT_EDGES, sizes, "right"), minlength=LATENT_BINS)


def judged(correct: int, wrong: int) -> Counts:
    return Counts(histogram(), histogram(), histogram(), correct, wrong)


def of_latents(counts: NDArray[np.int64]) -> Counts:
    return Counts(histogram(), histogram(), counts, 0, 0)


def runs_with_an_alarm(run: Callable[[np.random.Generator], bool]) -> int:
    return sum(run(np.random.default_rng(seed)) for seed in range(RUNS))


def may_be_false(limits: Limits) -> float:
    """The most runs with a false alarm of one chart that are to be expected."""
    return RUNS * WINDOWS / (5 * limits.windows)


def histogram(*counts: int) -> NDArray[np.int64]:
    return np.array(counts, np.int64)
