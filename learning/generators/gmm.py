"""A Gaussian mixture for each class.

After Vora, Suri and Yeturu (2021), section 2.5. Beyond a plain mixture on principal coordinates
(learning/generators/principal.py) there is one of many small subspaces on an image's cosines, rounded and deflated
(learning/generators/low_rank.py): the default, since of all mixtures it teaches most at equal bytes.

Images get their grey values back: a mixture blurs, so a table of 256 values per class maps the grey values it draws
onto those the class has, rank for rank.

A class of few samples gets fewer components and coordinates, down to one sample, which is repeated.

With `epsilon` a class is one Gaussian that is differentially private (learning/generators/private.py). Its noise comes
from no seed: the one exception to the rule that the same arguments give the same bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators import low_rank, principal, private
from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.generators.grey import blocks, grey_table, ranked, to_grey
from learning.generators.values import to_samples, value_range
from learning.options import Options, Range, read

GREY_TABLE = 256  # bytes
CONTRAST = 64  # grey values of one standard deviation, about: the unit of `step` with `epsilon`
LEAST_EPSILON = 0.001  # of less all is noise, and its size soon overflows


@dataclass(frozen=True)
class Settings:
    """Options of `gmm`, all read at the fit.

    Attributes:
        covariance: Of each component: "low_rank" on a few axes of its own, "full", one for all
            ("tied"), or of independent coordinates ("diag").
        components: Gaussians of a class, at most; 0 is 100 for "low_rank" and 20 for the others.
        dimensions: Coordinates of a class, at most: cosines for "low_rank", which takes tabular data by
            all its features, else principal ones. 0 is 300 and 50.
        rank: Axes of a component, at most; of "low_rank" alone.
        step: To which means and axes are rounded, in standard deviations of a value; as above.
        budget_kb: Of 1024 bytes kept of a class, at most; there are then as many components as it
            affords, and `components` does not count. 0: no budget. As above.
        storage: Type of the large arrays of the other covariances.
        lookup: Give grey values back their histogram; without effect on float32 samples.
        epsilon: From 0.001, what is kept of a class is (epsilon, delta)-differentially private with
            respect to one sample, which must be uint8: one Gaussian on `dimensions` cosines, 100 if 0,
            or on all features of tabular data, 1024 at most. What a fit costs in privacy it costs
            again when repeated. 0: no such promise.
        delta: As above.
        clip: Root mean square deviation of a sample from the mean of its class, in grey values, over
            which it is shortened; to be chosen without a look at the data. As above.

    """

    covariance: Literal["low_rank", "full", "tied", "diag"] = "low_rank"
    components: Annotated[int, Range(0, 10_000)] = 0
    dimensions: Annotated[int, Range(0, 4096)] = 0
    rank: Annotated[int, Range(1, 1000)] = 12
    step: Annotated[float, Range(0.001, 10)] = 0.2
    budget_kb: Annotated[int, Range(0, 1_000_000)] = 0
    storage: Literal["float16", "float32"] = "float16"
    lookup: bool = True
    epsilon: Annotated[float, Range(0, 100)] = 0.0
    delta: Annotated[float, Range(1e-15, 0.1)] = 1e-5
    clip: Annotated[float, Range(1, 255)] = 64.0


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Fit class after class; a class is a unit of work.

    Raises:
        ValueError: An option is wrong, `budget_kb` too small for a class, or `epsilon` not for such data.

    """
    settings = _read(options)
    if settings.epsilon:
        private.check(task.samples)
    _use_one_thread()
    state = dict(checkpoint or {"samples": task.samples[:0], "range": value_range(task.samples)})
    classes = task.classes()
    missing = [label for label in classes if f"{label}/spread" not in state]
    for label in missing:
        learned = _fit_class(task.of_class(label), settings, np.random.default_rng([seed, label]))
        state |= {f"{label}/{name}": array for name, array in learned.items()}
        if should_pause():
            break
    done = sum(f"{label}/spread" in state for label in classes)
    return Fit(state, done / len(classes))


def _use_one_thread() -> None:
    """Bar threads, process-wide and for good: sums then do not depend on the number of cores.

    A limit binds the libraries that are loaded, so those that a fit imports on its way come first.
    """
    from threadpoolctl import threadpool_limits

    for library in ("sklearn.cluster", "sklearn.decomposition", "sklearn.mixture"):
        import_module(library)
    threadpool_limits(1)


def _read(options: Options) -> Settings:
    settings = read(Settings, options)
    if 0 < settings.epsilon < LEAST_EPSILON:
        raise ValueError(
            f"option 'epsilon' must be 0 or at least {LEAST_EPSILON:g}, not {settings.epsilon!r}"
        )
    if settings.budget_kb and settings.covariance != "low_rank":
        raise ValueError("option 'budget_kb' needs covariance 'low_rank'; drop one of the two")
    if settings.epsilon and (settings.budget_kb or settings.covariance != "low_rank"):
        raise ValueError("option 'epsilon' takes neither 'covariance' nor 'budget_kb'; drop them")
    return settings


def _fit_class(
    samples: NDArray[Any], settings: Settings, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return the arrays that stand for samples (n, *shape) of one class."""
    if settings.epsilon:
        return _fit_private(samples, settings, rng)
    values, scale = _scaled(samples)
    learned = scale | _learn(values, settings, rng)
    if settings.lookup and samples.dtype == np.uint8:
        learned["grey"] = grey_table(samples, _drawn(learned, samples.shape[1:], rng))
    return learned


def _fit_private(
    samples: NDArray[np.uint8], settings: Settings, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return the same arrays with noise in them, of which no seed tells."""
    privacy = private.Privacy(settings.epsilon, settings.delta, settings.clip)
    centre, mixture = private.learn(samples, settings.dimensions or 100, privacy, private.secret)
    learned: dict[str, NDArray[Any]] = {
        "mean": np.full(1, private.MIDDLE, np.float32),
        "spread": np.ones(1, np.float32),
    }
    learned |= low_rank.arrays(centre, mixture, settings.step * CONTRAST)
    if settings.lookup:
        drawn = _drawn(learned, samples.shape[1:], rng)
        learned["grey"] = ranked(private.greys(samples, privacy, private.secret), drawn)
    return learned


def _scaled(samples: NDArray[Any]) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return values of mean 0 and variance 1, and the "mean" and "spread" taken from them.

    Those are one for each feature of tabular data, whose units differ, or one for all. Values that are
    all equal stay 0, and their spread too: whatever is drawn for them, the mean comes back.
    """
    one_unit = samples.ndim > 2
    features = samples.reshape(-1, 1) if one_unit else samples
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    values = samples.astype(np.float32, order="C")
    values -= mean
    features = values.reshape(-1, 1) if one_unit else values
    squares = np.einsum("nf,nf->f", features, features, dtype=np.float64)
    spread = np.sqrt(squares / len(features)).astype(np.float32)
    values /= np.where(spread > 0, spread, 1)
    return values, {"mean": mean, "spread": spread}


def _learn(
    values: NDArray[np.float32], settings: Settings, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    if settings.covariance == "low_rank":
        size = low_rank.Size(
            settings.components or 100, settings.rank, settings.dimensions or 300, settings.step
        )
        return low_rank.learn(values, size, _budget(values, settings), rng)
    learned = principal.learn(
        values, settings.components or 20, settings.dimensions or 50, settings.covariance, rng
    )
    large = {name: learned[name].astype(settings.storage) for name in principal.LARGE}
    return learned | large


def _budget(values: NDArray[np.float32], settings: Settings) -> int | None:
    """Return the bytes that scale and grey values leave of the budget."""
    if not settings.budget_kb:
        return None
    scale = 2 * values.itemsize * (values.shape[1] if values.ndim == 2 else 1)
    return settings.budget_kb * low_rank.KILOBYTE - scale - GREY_TABLE


def _drawn(
    learned: Arrays, shape: tuple[int, ...], rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples, block by block, whose grey values are set beside those of the class."""
    for count in blocks(shape):
        yield _draw(learned, shape, count, rng)


def _draw(
    learned: Arrays, shape: tuple[int, ...], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return values (count, *shape), unbounded."""
    if "mean" not in learned:  # fitted by 0.1.0, which scaled the centre too
        centre = learned["centre"].reshape(shape)
        learned = {**learned, "mean": centre, "centre": np.zeros(1, np.float32)}
    kind = low_rank if "axes" in learned else principal
    values = kind.draw(learned, shape, count, rng)
    return np.asarray(learned["mean"] + learned["spread"] * values, np.float32)


def sample(order: Order) -> Batch:
    """Return as many samples as ordered."""
    learned, like = order.learned(), order.state["samples"]
    rng = np.random.default_rng([order.seed, order.label])
    values = _draw(learned, like.shape[1:], order.count, rng)
    if "grey" in learned:
        values = learned["grey"][to_grey(values)]
    return Batch(to_samples(values, order.state["range"], like.dtype))


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    _read(options)


def is_private(options: Options) -> bool:
    """Return whether `epsilon` is asked for."""
    return _read(options).epsilon > 0


generator = Generator(
    name="gmm",
    trusted=False,
    fit=fit,
    sample=sample,
    evolve=None,
    validate=validate,
    is_private=is_private,
)
