"""Rehearsal with real samples: keep some of each class and serve them on demand.

Rehearsal after Robins (1995), "Catastrophic forgetting, rehearsal and pseudorehearsal"; as a service
after Vora, Suri and Yeturu (2021), section 2.2. The only generator whose labels need no check, and
the only one whose state is the data itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    """Options of `original`.

    Attributes:
        budget: Samples kept of each class, chosen at random; 0 keeps all.

    """

    budget: Annotated[int, Range(0, 1_000_000)] = 0


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Choose what is kept. One unit of work: it never pauses and has no checkpoint."""
    budget = read(Settings, options).budget
    state = {}
    for label in task.classes():
        samples = task.of_class(label)
        chosen = np.random.default_rng([seed, label]).permutation(len(samples))
        state[f"{label}/samples"] = samples[np.sort(chosen[: budget or len(samples)])]
    return Fit(state, 1.0)


def sample(order: Order) -> Batch:
    """Return distinct samples in random order: all that are kept if more are asked for.

    Two orders with different seeds may share samples.
    """
    kept = order.learned()["samples"]
    chosen = np.random.default_rng([order.seed, order.label]).permutation(len(kept))
    return Batch(kept[chosen[: order.count]])


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    read(Settings, options)


generator = Generator(
    name="original",
    trusted=True,
    fit=fit,
    sample=sample,
    evolve=None,
    validate=validate,
)
