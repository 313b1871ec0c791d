"""Rehearsal with real samples: keep some of each class and serve them on demand.

Rehearsal after Robins (1995), "Catastrophic forgetting, rehearsal and pseudorehearsal"; as a service
after Vora, Suri and Yeturu (2021), section 2.2. The only generator whose labels need no check, and
the only one whose state is the data itself.

Chosen by herding, the samples that fit a few kilobytes teach more than random ones, and all other choices less;
compressed, drawn digits take a fifth of their bytes and clothes half of them, natural images hardly less than all
(docs/learning.md).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.generators.coreset import Choice, rankings
from learning.generators.packing import deflate, inflate
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    """Options of `original`, all read at the fit.

    Attributes:
        budget: Samples kept of each class, at most; 0: any number.
        budget_kb: Of 1024 bytes kept of each class, at most, as they are stored; 0: any number.
        choose: Which are kept if not all are. "herding": such that together they are distributed as
            all. "diverse": far from each other, outliers first. "typical": nearest to the mean of the
            class. "hardest": nearest to the other classes of the task.
        compress: Store them without loss in fewer bytes. How many depends on the release of zlib,
            and with `budget_kb` so does the number of samples.

    """

    budget: Annotated[int, Range(0, 1_000_000)] = 0
    budget_kb: Annotated[float, Range(0, 1e9)] = 0.0
    choose: Choice = "herding"
    compress: bool = True


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Choose what is kept. One unit of work: it never pauses and has no checkpoint.

    Raises:
        ValueError: Not one sample of a class fits `budget_kb`.

    """
    settings = read(Settings, options)
    state: dict[str, NDArray[Any]] = {"samples": task.samples[:0]} if settings.compress else {}
    # Where all are kept any ranking will do, and this one costs nothing.
    choose = settings.choose if settings.budget or settings.budget_kb else "random"
    for label, ranking in rankings(task, choose, seed):
        kept = _kept(task.of_class(label), ranking, settings)
        state |= {f"{label}/{name}": array for name, array in kept.items()}
    return Fit(state, 1.0)


def _kept(
    samples: NDArray[Any], ranking: Iterator[int], settings: Settings
) -> dict[str, NDArray[Any]]:
    """Return what is stored of samples (n, *shape) of one class."""
    order: list[int] = []

    def first(count: int) -> dict[str, NDArray[Any]]:
        if count == len(samples):
            return _stored(samples, settings.compress)
        order.extend(islice(ranking, max(0, count - len(order))))
        return _stored(samples[np.sort(order[:count])], settings.compress)

    most = min(settings.budget or len(samples), len(samples))
    if not settings.budget_kb:
        return first(most)
    limit = settings.budget_kb * 1024
    count = _largest(lambda count: _size(first(count)) <= limit, most)
    if not count:
        needed = math.ceil(_size(first(1)) / 1024 * 1000) / 1000
        raise ValueError(f"option 'budget_kb' must be {needed} or more to keep one sample a class")
    return first(count)


def _stored(samples: NDArray[Any], compress: bool) -> dict[str, NDArray[Any]]:
    if not compress:
        return {"samples": samples}
    return {"packed": deflate(samples), "count": np.array([len(samples)])}


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Return a count up to `most` that fits and is `most` or is followed by one that does not."""
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def sample(order: Order) -> Batch:
    """Return distinct samples in random order: all that are left if more are asked for, which may be none.

    Orders with a common seed share none, if each starts where the one before ends; others may.

    Raises:
        ValueError: Compressed samples are damaged.

    """
    kept = _loaded(order)
    seed = order.seed if order.common_seed is None else order.common_seed
    shuffled = np.random.default_rng([seed, order.label]).permutation(len(kept))
    served = kept[shuffled[order.start : order.start + order.count]]
    return Batch(served, certain=len(served))


def _loaded(order: Order) -> NDArray[Any]:
    learned = order.learned()
    if "samples" in learned:
        return learned["samples"]
    like = order.state["samples"]
    return inflate(learned["packed"], (int(learned["count"][0]), *like.shape[1:]), like.dtype)


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
