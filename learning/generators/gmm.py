"""A Gaussian mixture for each class, on the class's own principal coordinates.

After Vora, Suri and Yeturu (2021), section 2.5. What is done beyond a plain mixture:

* Principal coordinates are found for each class, not shared by the task, so that a class stays a unit
  that can be counted, moved and forgotten alone, and a fit can pause between classes.
* Covariances are kept as Cholesky factors, packed: half the numbers, and rounding them to float16
  cannot make them indefinite. Sampling needs numpy alone; scikit-learn is imported by the fit.
* Images get their grey values back: a mixture blurs, so a table of 256 values per class maps the
  grey values it draws onto those the class has, rank for rank.

A class of few samples gets fewer components and coordinates, down to one sample, which is repeated.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.generators.values import to_samples, value_range
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    """Options of `gmm`, all read at the fit.

    Attributes:
        components: Gaussians of a class, at most.
        dimensions: Principal coordinates of a class, at most.
        covariance: Of each component, one for all ("tied"), or of independent coordinates ("diag").
        storage: Type of the large arrays.
        lookup: Give grey values back their histogram; without effect on float32 samples.

    """

    components: Annotated[int, Range(1, 1000)] = 20
    dimensions: Annotated[int, Range(1, 4096)] = 50
    covariance: Literal["full", "tied", "diag"] = "full"
    storage: Literal["float16", "float32"] = "float16"
    lookup: bool = True


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Fit class after class; a class is a unit of work."""
    settings = read(Settings, options)
    state = dict(checkpoint or {"samples": task.samples[:0], "range": value_range(task.samples)})
    classes = task.classes()
    missing = [label for label in classes if f"{label}/means" not in state]
    for label in missing:
        learned = _fit_class(task.of_class(label), settings, np.random.default_rng([seed, label]))
        state |= {f"{label}/{name}": array for name, array in learned.items()}
        if should_pause():
            break
    done = sum(f"{label}/means" in state for label in classes)
    return Fit(state, done / len(classes))


def _fit_class(
    samples: NDArray[Any], settings: Settings, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return the arrays that stand for samples (n, *shape) of one class."""
    flat = samples.reshape(len(samples), -1).astype(np.float32)  # (n, f)
    centre = flat.mean(axis=0, dtype=np.float64).astype(np.float32)  # (f,)
    spread = _spread(flat - centre, samples)  # (f,) or (1,)
    coordinates, basis = _principal((flat - centre) / spread, settings.dimensions, rng)
    learned = {"centre": centre, "spread": spread, "basis": basis}
    learned |= _mixture(coordinates, settings, rng)
    for name in ("basis", "means", "factors"):
        learned[name] = np.ascontiguousarray(learned[name], settings.storage)
    if settings.lookup and samples.dtype == np.uint8:
        learned["grey"] = _grey_table(samples, _draw(learned, 1000, rng))
    return learned


def _spread(centred: NDArray[np.float32], samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return a scale for each feature of tabular data, whose units differ, or one for images."""
    tabular = samples.ndim == 2 and samples.dtype == np.float32
    spread = centred.std(axis=0) if tabular else centred.std(keepdims=True).reshape(1)
    return np.where(spread > 0, spread, 1).astype(np.float32)


def _principal(
    centred: NDArray[np.float32], dimensions: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return coordinates (n, d) and basis (d, f); d is 0 where all samples are equal."""
    from sklearn.decomposition import PCA

    dimensions = min(dimensions, len(centred) - 1, centred.shape[1])
    if dimensions == 0 or not centred.any():
        return np.zeros((len(centred), 0), np.float32), np.zeros((0, centred.shape[1]), np.float32)
    pca = PCA(dimensions, random_state=int(rng.integers(2**31)))
    coordinates = pca.fit_transform(centred)
    return coordinates, pca.components_.astype(np.float32)


def _mixture(
    coordinates: NDArray[np.float32], settings: Settings, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return weights (k,), means (k, d), factors: (k or 1, d (d + 1) / 2), if diagonal (k, d)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    d = coordinates.shape[1]
    if d == 0:
        return {"weights": np.ones(1), "means": np.zeros((1, 0)), "factors": np.zeros((1, 0))}
    distinct = len(np.unique(coordinates, axis=0))
    mixture = GaussianMixture(
        max(1, min(settings.components, distinct // 2)),
        covariance_type=settings.covariance,
        reg_covar=1e-3,
        random_state=int(rng.integers(2**31)),
        init_params="k-means++",
        tol=1e-2,
    )
    with warnings.catch_warnings():  # a mixture that still improves a little is good enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        threadpool_limits(1)  # process-wide, and left so: sums do not depend on the number of cores
        mixture.fit(coordinates)
    return {
        "weights": mixture.weights_,
        "means": mixture.means_,
        "factors": _factors(mixture.covariances_, d, settings.covariance),
    }


def _factors(covariances: NDArray[Any], d: int, covariance: str) -> NDArray[Any]:
    if covariance == "diag":
        return np.asarray(np.sqrt(covariances))
    cholesky = np.linalg.cholesky(covariances.reshape(-1, d, d))
    packed: NDArray[Any] = cholesky[:, *np.tril_indices(d)]
    return packed


def _draw(learned: Arrays, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return values (count, f) of the mixture, unbounded."""
    weights, means = learned["weights"], learned["means"].astype(np.float32)
    component = rng.choice(len(weights), count, p=weights / weights.sum())
    noise = rng.standard_normal((count, means.shape[1]), np.float32)
    for one in range(len(means)):
        rows = component == one
        noise[rows] = means[one] + noise[rows] @ _factor(learned, one).T
    return learned["centre"] + learned["spread"] * (noise @ learned["basis"].astype(np.float32))


def _factor(learned: Arrays, component: int) -> NDArray[np.float32]:
    """Return the Cholesky factor (d, d) of a component."""
    d = learned["means"].shape[1]
    packed = learned["factors"][component % len(learned["factors"])].astype(np.float32)
    if len(packed) == d:
        return np.diag(packed)
    factor = np.zeros((d, d), np.float32)
    factor[np.tril_indices(d)] = packed
    return factor


def _grey_table(samples: NDArray[np.uint8], drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the grey value (256,) of the class that has the rank of each grey value drawn."""
    drawn_counts = np.bincount(_grey(drawn).ravel(), minlength=256)
    ranks = (np.cumsum(drawn_counts) - drawn_counts / 2) / drawn_counts.sum()
    real = np.cumsum(np.bincount(samples.ravel(), minlength=256)) / samples.size
    return np.asarray(np.searchsorted(real[:-1], ranks), np.uint8)


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    grey: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return grey


def sample(order: Order) -> Batch:
    """Return as many samples as ordered."""
    learned, like = order.learned(), order.state["samples"]
    rng = np.random.default_rng([order.seed, order.label])
    values = _draw(learned, order.count, rng)
    if "grey" in learned:
        values = learned["grey"][_grey(values)]
    shaped = values.reshape(order.count, *like.shape[1:])
    return Batch(to_samples(shaped, order.state["range"], like.dtype))


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    read(Settings, options)


generator = Generator(
    name="gmm",
    trusted=False,
    fit=fit,
    sample=sample,
    evolve=None,
    validate=validate,
)
