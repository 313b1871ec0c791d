"""A genetic algorithm that asks the deployed model which of its samples look like a class.

Genetic rehearsal after Suri and Yeturu (2020), "Pseudo rehearsal using non photo-realistic images",
arXiv 2004.13414, as a service after Vora, Suri and Yeturu (2021), section 2.3: fitness is the model's
confidence in the class, the fittest 24 % of a culture survive, crossover and mutation fill the rest,
until the culture reaches a threshold or the generations are used up.

Every sample ordered is the fittest of a culture of its own. All cultures of an order step together,
as one array, and the population with its order is the whole state: the randomness of a generation
comes from (seed, generation). A culture that reached the threshold stays as it is.

The search finds samples that convince the model, not samples that look like the data. Started from
noise they teach a network close to nothing; started around the mean of the class, the default, they
teach something. Prefer `gmm` where its state may be kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Population, Task
from learning.generators.values import to_samples, value_range
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    """Options of `ga`.

    Attributes:
        population: Samples of a culture.
        survivors: Share of a culture that lives on unchanged, at least one sample.
        generations: Populations that the model scores, at most.
        threshold: Confidence of its fittest sample at which a culture is done.
        mutation_rate: Share of a child's values that change.
        mutation_scale: Standard deviation of a change, in units of the range of values.
        start: "mean": one standard deviation around the mean of the class; keeps these two, no
            sample. "noise": anywhere in the range of values; keeps nothing of the data but that.
            Read at the fit.

    """

    population: Annotated[int, Range(2, 1024)] = 8
    survivors: Annotated[float, Range(0, 1)] = 0.24
    generations: Annotated[int, Range(1, 10_000)] = 5
    threshold: Annotated[float, Range(0, 1)] = 0.9
    mutation_rate: Annotated[float, Range(0, 1)] = 0.05
    mutation_scale: Annotated[float, Range(0, 1)] = 0.25
    start: Literal["mean", "noise"] = "mean"


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Keep where the search starts. One unit of work: it never pauses and has no checkpoint."""
    settings = read(Settings, options)
    bounds = value_range(task.samples)
    state: dict[str, NDArray[Any]] = {"samples": task.samples[:0], "range": bounds}
    for label in task.classes():
        around_mean = settings.start == "mean"
        start = _around_mean(task.of_class(label), bounds) if around_mean else bounds
        state[f"{label}/start"] = start.astype(np.float32)
    return Fit(state, 1.0)


def _around_mean(samples: NDArray[Any], bounds: NDArray[np.float32]) -> NDArray[Any]:
    mean = samples.mean(axis=0, dtype=np.float64)
    spread = samples.std(axis=0, dtype=np.float64)
    ends = np.stack([mean - spread, mean + spread])
    return np.asarray(np.clip(ends, bounds[0], bounds[1]))


def sample(order: Order) -> Population:
    """Return the first population, (count * population, *shape), one culture after the other."""
    low, high = order.learned()["start"]
    like = order.state["samples"]
    size = order.count * read(Settings, order.options).population
    place = _rng(order, generation=1).random((size, *like.shape[1:]), np.float32)
    return Population(to_samples(low + place * (high - low), order.state["range"], like.dtype), 1)


def evolve(order: Order, population: Population, fitness: NDArray[Any]) -> Batch | Population:
    """Return the next population, or the fittest of each culture when the search is over.

    Raises:
        ValueError: The fitness is not one finite number for each sample.

    """
    settings = read(Settings, order.options)
    if fitness.shape != population.samples.shape[:1] or not np.isfinite(fitness).all():
        raise ValueError(f"fitness must be {len(population.samples)} finite numbers")
    cultures = population.samples.reshape(-1, settings.population, *population.samples.shape[1:])
    scores = fitness.reshape(-1, settings.population)  # (cultures, population)
    reached = scores.max(axis=1) >= settings.threshold  # (cultures,)
    if reached.all() or population.generation >= settings.generations:
        return Batch(cultures[np.arange(len(cultures)), scores.argmax(axis=1)])
    evolving = np.flatnonzero(~reached)
    rng = _rng(order, population.generation + 1)
    following = cultures.copy()
    following[evolving] = _bred(cultures[evolving], scores[evolving], settings, order, rng)
    return Population(following.reshape(population.samples.shape), population.generation + 1)


def _bred(
    cultures: NDArray[Any],
    scores: NDArray[Any],
    settings: Settings,
    order: Order,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return cultures (c, population, *shape) of survivors, fittest first, and then children."""
    alive = max(1, round(settings.survivors * settings.population))
    ranks = np.argsort(-scores, axis=1, kind="stable")[:, :alive]  # (c, alive)
    rows = np.arange(len(cultures))[:, None]
    survivors = cultures[rows, ranks]  # (c, alive, *shape)
    parents = rng.integers(alive, size=(2, len(cultures), settings.population - alive))
    mothers, fathers = survivors[rows, parents[0]], survivors[rows, parents[1]]
    children = np.where(_coins(mothers.shape, rng), mothers, fathers)  # uniform crossover
    return np.concatenate(
        [survivors, _mutated(children, settings, order.state["range"], rng)], axis=1
    )


def _coins(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    count = int(np.prod(shape))
    packed = np.frombuffer(rng.bytes(-(-count // 8)), np.uint8)
    return np.unpackbits(packed, count=count).reshape(shape).view(np.bool_)


def _mutated(
    children: NDArray[Any],
    settings: Settings,
    bounds: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return children (c, m, *shape) with some of their values moved, inside the range."""
    changed = rng.random(children.shape, np.float32) < settings.mutation_rate
    places = np.nonzero(changed)
    low, high = (np.broadcast_to(end, children.shape)[places] for end in bounds)
    moves = rng.standard_normal(len(low), np.float32) * settings.mutation_scale * (high - low)
    children[places] = to_samples(children[places] + moves, np.stack([low, high]), children.dtype)
    return children


def _rng(order: Order, generation: int) -> np.random.Generator:
    return np.random.default_rng([order.seed, order.label, generation])


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    read(Settings, options)


generator = Generator(
    name="ga",
    trusted=False,
    fit=fit,
    sample=sample,
    evolve=evolve,
    validate=validate,
)
