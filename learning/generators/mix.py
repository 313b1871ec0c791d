"""Stored originals and a Gaussian mixture of each class, under one budget of bytes.

The originals show what the mixture blurs, the mixture varies what few originals repeat. It is `original`
and `gmm`, with the options of both; here is only how they share. The mixture is fitted first, to its part
of the budget; the originals get all that it leaves. What each keeps of a class is named
`"<label>/gmm/<name>"` and `"<label>/original/<name>"`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from learning.generators import gmm, original
from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.generators.coreset import Choice
from learning.generators.low_rank import BudgetTooSmall
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings(gmm.Settings):
    """Options of `mix`: those of `gmm` but for `covariance` and `epsilon`, and these.

    Attributes:
        budget_kb: Of 1024 bytes kept of each class, at most, both parts together.
        share: Of the originals: about so much of the budget, and of an order if there are enough.
        choose: Which originals are kept, as for `original`.
        compress: Store the originals without loss in fewer bytes, as for `original`.

    """

    budget_kb: Annotated[int, Range(2, 1_000_000)] = 64
    share: Annotated[float, Range(0.01, 0.99)] = 0.5
    choose: Choice = "herding"
    compress: bool = True


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Fit the mixtures, in the units of `gmm`, and choose the originals at the end.

    Raises:
        ValueError: A class has no room for one original beside the least mixture.

    """
    settings = _read(options)
    try:
        mixed = gmm.fit(task, _of(gmm, settings), seed, checkpoint, should_pause)
    except BudgetTooSmall as error:
        raise BudgetTooSmall(_missing(settings, error.missing)) from error
    if mixed.progress < 1:
        return mixed
    state = _named(gmm, mixed.state)
    return Fit(state | _named(original, _originals(task, settings, state, seed)), 1.0)


def _read(options: Options) -> Settings:
    settings = read(Settings, options)
    if settings.covariance != "low_rank":
        raise ValueError("option 'covariance' of 'mix' is always 'low_rank'; drop it")
    if settings.epsilon:
        raise ValueError("option 'epsilon' is not for 'mix', which keeps originals; take 'gmm'")
    return settings


def _missing(settings: Settings, of_mixture: int) -> int:
    """Return the kilobytes by which the budget must grow for the part of the mixture to grow by so many."""
    needed = _mixture_kb(settings) + of_mixture
    return math.ceil(needed / (1 - settings.share)) - settings.budget_kb


def _mixture_kb(settings: Settings) -> int:
    part = max(1, round(settings.budget_kb * (1 - settings.share)))
    return min(part, settings.budget_kb - 1)


def _originals(task: Task, settings: Settings, mixtures: Arrays, seed: int) -> Arrays:
    """Return originals of each class, in the bytes that the largest of the mixtures leaves."""
    largest = max(_size(mixtures, label) for label in task.classes())
    left = settings.budget_kb - largest / 1024
    asked = _of(original, settings) | {"budget_kb": left}
    try:
        return original.fit(task, asked, seed, None, lambda: False).state
    except ValueError as error:
        raise ValueError(f"of 'budget_kb' the mixture leaves {left:.1f}: {error}") from error


def sample(order: Order) -> Batch:
    """Return as many samples as ordered: originals by their share, while there are any, the rest drawn."""
    share = read(Settings, order.options).share
    start, end = round(share * order.start), round(share * (order.start + order.count))
    kept = original.sample(_for(original, order, start, end - start)).samples
    rest = order.count - len(kept)
    drawn = gmm.sample(_for(gmm, order, 0, max(1, rest))).samples[:rest]
    return Batch(np.concatenate([kept, drawn]), certain=len(kept))


def _for(part: ModuleType, order: Order, start: int, count: int) -> Order:
    """Return the order that a part gets: its own state, under its own names, and options."""
    name = f"/{part.generator.name}/"
    state = {
        key.replace(name, "/"): array
        for key, array in order.state.items()
        if "/" not in key or name in key
    }
    options = _of(part, read(Settings, order.options))
    return replace(order, state=state, start=start, count=count, options=options)


def _of(part: ModuleType, settings: Settings) -> dict[str, Any]:
    """Return the options of a part."""
    names = {field.name for field in fields(part.Settings)}
    options = {name: value for name, value in vars(settings).items() if name in names}
    return options | {"budget_kb": _mixture_kb(settings)}


def _named(part: ModuleType, state: Arrays) -> dict[str, NDArray[Any]]:
    """Return the state with the part's name in what belongs to a class; the rest is that of both."""
    name = f"/{part.generator.name}/"
    return {key.replace("/", name): array for key, array in state.items()}


def _size(state: Arrays, label: int) -> int:
    return sum(array.nbytes for name, array in state.items() if name.startswith(f"{label}/"))


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    gmm.validate(_of(gmm, _read(options)))


generator = Generator(
    name="mix",
    trusted=False,
    fit=fit,
    sample=sample,
    evolve=None,
    validate=validate,
)
