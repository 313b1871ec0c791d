"""A genetic algorithm that asks the deployed model which of its samples look like a class.

Genetic rehearsal after Suri and Yeturu (2020), "Pseudo rehearsal using non photo-realistic images",
arXiv 2004.13414, as a service after Vora, Suri and Yeturu (2021), section 2.3: fitness is the model's
confidence in the class, the fittest 24 % of a culture survive, crossover and mutation fill the rest,
until the culture reaches a threshold or the generations are used up.

Every sample ordered is a member of a culture of its own. All cultures of an order step together, as
one array, and the population with its order is the whole state: the randomness of a generation comes
from (seed, generation). A culture that reached the threshold stays as it is for that generation: from the
statistics of a class, where samples share their fitness with those of earlier cultures, it may fall
below again once one of these moves.

The search finds samples that convince the model, not samples that look like the data. Started from
noise, as the paper does, they teach a network close to nothing; around the mean of the class, something.
From the statistics of the class, the default, the region of which the search cannot leave, they teach
most, and nearly all of that is in the statistics: almost every culture ends in its first generation
(docs/learning.md has the figures). Prefer `gmm` where its state may be kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators import clusters
from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Population, Task
from learning.generators.values import to_samples, value_range
from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    """Options of `ga`.

    Attributes:
        population: Samples of a culture.
        survivors: Share of a culture that lives on unchanged: at least one sample, at most all but one.
        generations: Populations that the model scores, at most.
        threshold: Confidence of its fittest sample at which a culture is done.
        mutation_rate: Share of a child's values that change; from statistics, of its coordinates.
        mutation_scale: Standard deviation of a change, in units of the range of values.
        start: "statistics": in clusters of the class, which no sample leaves. "mean": one standard
            deviation around the mean of the class; keeps these two, no sample. "noise": anywhere in
            the range of values; keeps nothing of the data but that. Read at the fit, as are the two
            that follow; these and `spacing` are without effect on the other starts.
        components: Clusters of a class, at most.
        dimensions: Principal coordinates of a class, at most.
        spacing: Distance from what an earlier culture would give within which a sample shares its
            fitness with it, in units of the typical distance between two samples of the class.

    """

    population: Annotated[int, Range(2, 1024)] = 8
    survivors: Annotated[float, Range(0, 1)] = 0.24
    generations: Annotated[int, Range(1, 10_000)] = 5
    threshold: Annotated[float, Range(0, 1)] = 0.9
    mutation_rate: Annotated[float, Range(0, 1)] = 0.05
    mutation_scale: Annotated[float, Range(0, 1)] = 0.25
    start: Literal["statistics", "mean", "noise"] = "statistics"
    components: Annotated[int, Range(1, 1000)] = 8
    dimensions: Annotated[int, Range(1, 4096)] = 30
    spacing: Annotated[float, Range(0, 1)] = 0.15


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
        rng = np.random.default_rng([seed, label])
        learned = _learned(task.of_class(label), settings, bounds, rng)
        state |= {f"{label}/{name}": array for name, array in learned.items()}
    return Fit(state, 1.0)


def _learned(
    samples: NDArray[Any],
    settings: Settings,
    bounds: NDArray[np.float32],
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    if settings.start == "statistics":
        return clusters.learn(samples, settings.components, settings.dimensions, rng)
    start = _around_mean(samples, bounds) if settings.start == "mean" else bounds
    return {"start": start.astype(np.float32)}


def _around_mean(samples: NDArray[Any], bounds: NDArray[np.float32]) -> NDArray[Any]:
    mean = samples.mean(axis=0, dtype=np.float64)
    spread = samples.std(axis=0, dtype=np.float64)
    ends = np.stack([mean - spread, mean + spread])
    return np.asarray(np.clip(ends, bounds[0], bounds[1]))


def sample(order: Order) -> Population:
    """Return the first population, (count * population, *shape), one culture after the other."""
    learned, rng = order.learned(), _rng(order, generation=1)
    size = read(Settings, order.options).population
    if "start" not in learned:
        home = np.repeat(_homes(order), size)
        return Population(_drawn(order, clusters.first(learned, home, rng), home), 1)
    low, high = learned["start"]
    place = rng.random((order.count * size, *order.state["samples"].shape[1:]), np.float32)
    return Population(_finished(order, low + place * (high - low)), 1)


def evolve(order: Order, population: Population, fitness: NDArray[Any]) -> Batch | Population:
    """Return the next population, or one of each culture when the search is over: the fittest.

    In the region of a class it is, of those that reached the threshold, the least confident one: the
    model is sure enough, and there is most left to teach.

    Raises:
        ValueError: The fitness is not one finite number for each sample.

    """
    settings = read(Settings, order.options)
    if fitness.shape != population.samples.shape[:1] or not np.isfinite(fitness).all():
        raise ValueError(f"fitness must be {len(population.samples)} finite numbers")
    cultures = population.samples.reshape(-1, settings.population, *population.samples.shape[1:])
    scores = fitness.reshape(-1, settings.population)  # (cultures, population)
    if _is_confined(order):
        scores = _shared(order, settings, cultures, scores)
    reached = scores.max(axis=1) >= settings.threshold  # (cultures,)
    if reached.all() or population.generation >= settings.generations:
        return Batch(cultures[np.arange(len(cultures)), _chosen(order, settings, scores)])
    following = cultures.copy()
    rng = _rng(order, population.generation + 1)
    rows = np.flatnonzero(~reached)
    following[rows] = _bred(order, settings, rows, cultures[rows], scores[rows], rng)
    return Population(following.reshape(population.samples.shape), population.generation + 1)


def _chosen(order: Order, settings: Settings, scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return which of each culture becomes a sample, (c,)."""
    enough = (scores >= settings.threshold) & _is_confined(order)
    ranked = np.where(enough, 2 - scores, scores)  # 1 or more if enough, below 1 if not
    return np.asarray(ranked.argmax(axis=1))


def _bred(
    order: Order,
    settings: Settings,
    rows: NDArray[np.int64],
    cultures: NDArray[Any],
    scores: NDArray[Any],
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return cultures (c, population, *shape) of survivors, fittest first, and then children."""
    alive = round(settings.survivors * settings.population)
    alive = min(max(1, alive), settings.population - 1)
    ranks = np.argsort(-scores, axis=1, kind="stable")[:, :alive]  # (c, alive)
    own = np.arange(len(cultures))[:, None]
    survivors = cultures[own, ranks]  # (c, alive, *shape)
    parents = rng.integers(alive, size=(2, len(cultures), settings.population - alive))
    mothers, fathers = survivors[own, parents[0]], survivors[own, parents[1]]
    if _is_confined(order):
        home = np.repeat(_homes(order)[rows], mothers.shape[1])
        children = _confined(order, settings, home, mothers, fathers, rng)
    else:
        children = np.where(_coins(mothers.shape, rng), mothers, fathers)  # uniform crossover
        children = _mutated(children, settings, order.state["range"], rng)
    return np.concatenate([survivors, children], axis=1)


def _is_confined(order: Order) -> bool:
    return "start" not in order.learned()


def _homes(order: Order) -> NDArray[np.int64]:
    """Return the cluster that each culture lives in, (count,): the same in every generation."""
    return clusters.homes(order.learned(), order.count, _rng(order, generation=0))


def _confined(
    order: Order,
    settings: Settings,
    home: NDArray[np.int64],
    mothers: NDArray[Any],
    fathers: NDArray[Any],
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return children (c, m, *shape) in the clusters (c * m,) of their parents."""
    learned, shape = order.learned(), order.state["samples"].shape[1:]
    one, other = (
        clusters.located(learned, parents.reshape(-1, *shape), home)
        for parents in (mothers, fathers)
    )
    rate, scale = settings.mutation_rate, settings.mutation_scale
    places = clusters.crossed(one, other, rate, scale, rng)
    return _drawn(order, places, home).reshape(mothers.shape)


def _shared(
    order: Order, settings: Settings, cultures: NDArray[Any], scores: NDArray[Any]
) -> NDArray[Any]:
    """Return scores (c, population), each divided by how many want its place.

    Fitness sharing (Goldberg and Richardson 1987), of a sample with what earlier cultures would give:
    so one of two alike keeps its score, and the other's culture has to look elsewhere.
    """
    learned = order.learned()
    flat = cultures.reshape(-1, *cultures.shape[2:])
    places = clusters.coordinates(learned, flat).reshape(*scores.shape, -1)  # (c, population, d)
    given = places[np.arange(len(places)), _chosen(order, settings, scores)]  # (c, d)
    near = settings.spacing * clusters.typical_distance(learned)
    claims = np.ones(scores.shape)
    for row, own in enumerate(places):
        distances = np.linalg.norm(own[:, None] - given[:row], axis=2)  # (population, row)
        claims[row] += (distances < near).sum(axis=1)
    return np.asarray(scores / claims)


def _drawn(order: Order, places: NDArray[np.float32], home: NDArray[np.int64]) -> NDArray[Any]:
    values = clusters.rendered(order.learned(), places, home)
    return _finished(order, values.reshape(-1, *order.state["samples"].shape[1:]))


def _finished(order: Order, values: NDArray[Any]) -> NDArray[Any]:
    return to_samples(values, order.state["range"], order.state["samples"].dtype)


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
