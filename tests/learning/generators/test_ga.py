"""The genetic algorithm: selection, frozen cultures, the end of the search."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators import clusters
from learning.generators.base import Batch, Order, Population
from learning.generators.ga import evolve, generator, sample
from learning.options import Options
from tests.learning.generators.tasks import brightness, digits, fitted, grey, tabular


def ordered(options: Options, count: int = 5) -> Order:
    """Return an order for samples of a class; around its mean, unless the options say otherwise."""
    asked: Options = {"start": "mean", **options}
    return Order(fitted(generator, grey(), asked), 2, count, 0, asked)


def next_population(order: Order, population: Population, fitness: NDArray[Any]) -> Population:
    following = evolve(order, population, fitness)
    assert isinstance(following, Population)
    return following


def test_every_sample_ordered_has_a_culture() -> None:
    population = sample(ordered({"population": 6}, count=5))
    assert population.samples.shape == (30, 9, 10)
    assert population.generation == 1


def test_the_fittest_survive_unchanged() -> None:
    order = ordered({})
    before = sample(order)
    fitness = np.tile(np.arange(8) / 10, 5)
    after = next_population(order, before, fitness).samples.reshape(5, 8, 9, 10)
    fittest = before.samples.reshape(5, 8, 9, 10)[:, [7, 6]]  # 24 % of 8 are 2
    np.testing.assert_array_equal(after[:, :2], fittest)
    assert not np.array_equal(after[:, 2:], before.samples.reshape(5, 8, 9, 10)[:, 2:])


def test_children_without_mutation_take_every_value_from_a_survivor() -> None:
    order = ordered({"mutation_rate": 0.0}, count=1)
    before = sample(order)
    after = next_population(order, before, np.arange(8) / 10).samples
    survivors = before.samples[[7, 6]]
    assert ((after == survivors[0]) | (after == survivors[1])).all()
    assert len(np.unique(after, axis=0)) > 2


def test_mutation_changes_the_share_of_values_asked_for() -> None:
    order = ordered({"mutation_rate": 0.1, "survivors": 0.0, "mutation_scale": 1.0}, count=50)
    before = sample(order)
    after = next_population(order, before, np.tile([0.5, *[0.1] * 7], 50))
    children = after.samples.reshape(50, 8, 9, 10)[:, 1:]
    changed = (children != before.samples.reshape(50, 8, 9, 10)[:, :1]).mean()
    assert 0.05 < changed < 0.11  # some moves are clipped back to where they were


def test_a_culture_that_reached_the_threshold_stays_as_it_is() -> None:
    order = ordered({"threshold": 0.9})
    before = sample(order)
    fitness = np.full((5, 8), 0.1)
    fitness[3, 4] = 0.95
    after = next_population(order, before, fitness.ravel())
    unchanged = [
        np.array_equal(*pair)
        for pair in zip(before.samples.reshape(5, -1), after.samples.reshape(5, -1), strict=True)
    ]
    assert unchanged == [False, False, False, True, False]


def test_the_search_ends_with_the_fittest_when_all_cultures_reached_the_threshold() -> None:
    order = ordered({})
    population = sample(order)
    fitness = np.zeros((5, 8))
    best = [3, 0, 7, 1, 2]
    fitness[np.arange(5), best] = 0.9
    end = evolve(order, population, fitness.ravel())
    expected = population.samples.reshape(5, 8, 9, 10)[np.arange(5), best]
    assert isinstance(end, Batch)
    np.testing.assert_array_equal(end.samples, expected)


def test_the_model_is_asked_as_often_as_there_are_generations() -> None:
    order, asked = ordered({"generations": 4}), 0
    answer: Batch | Population = sample(order)
    while isinstance(answer, Population):
        asked += 1
        answer = evolve(order, answer, brightness(answer.samples))
    assert asked == 4


def test_fitness_never_falls_and_rises_in_the_end() -> None:
    order = ordered({"generations": 60, "start": "noise"})
    answer: Batch | Population = sample(order)
    best = []
    while isinstance(answer, Population):
        fitness = brightness(answer.samples)
        best.append(fitness.reshape(5, 8).max(axis=1))
        answer = evolve(order, answer, fitness)
    assert (np.diff(best, axis=0) >= 0).all()
    assert (best[-1] > best[0] + 0.005).all()


def test_a_population_alone_carries_the_search() -> None:
    order = ordered({"generations": 10})
    first = next_population(order, sample(order), np.full(40, 0.5))
    copied = Population(first.samples.copy(), first.generation)
    fitness = brightness(first.samples)
    np.testing.assert_array_equal(
        next_population(replace(order), copied, fitness).samples,
        next_population(order, first, fitness).samples,
    )


@pytest.mark.parametrize("start", ["mean", "noise"])
def test_the_search_starts_around_the_mean_or_anywhere(start: str) -> None:
    task = grey()
    order = ordered({"start": start}, count=100)
    distance = abs(sample(order).samples.mean(axis=0) - task.of_class(2).mean(axis=0)).mean()
    assert (distance < 10) == (start == "mean")


def test_from_noise_nothing_of_the_data_is_kept() -> None:
    dark = replace(grey(), samples=np.zeros((60, 9, 10), np.uint8))
    states = [fitted(generator, task, {"start": "noise"}) for task in (grey(), dark)]
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


def test_features_of_different_units_are_mutated_each_on_its_own_scale() -> None:
    task = tabular()
    options: Options = {"mutation_rate": 1.0, "survivors": 0.0}
    order = Order(fitted(generator, task, options), 1, 50, 0, options)
    after = next_population(order, sample(order), np.zeros(400))
    share = after.samples.std(axis=0)[:3] / np.ptp(task.samples, axis=0)[:3]
    assert ((share > 0.1) & (share < 0.5)).all()


@pytest.mark.parametrize("fitness", [np.zeros(39), np.full(40, np.nan)])
def test_fitness_that_is_not_a_number_for_each_sample_is_refused(fitness: NDArray[Any]) -> None:
    order = ordered({})
    with pytest.raises(ValueError, match="fitness must be 40 finite numbers"):
        evolve(order, sample(order), fitness)


CONFINED: Options = {"start": "statistics", "components": 2, "dimensions": 3, "mutation_rate": 1.0}


def confined(count: int = 5, **changes: float) -> Order:
    options: Options = {**CONFINED, **changes}
    return Order(fitted(generator, tabular(), options), 1, count, 0, options)


def lengths(order: Order, samples: NDArray[Any]) -> NDArray[Any]:
    """Return how far the samples are from the centre of the nearest cluster, in its own measure."""
    learned = order.learned()
    homes = [np.full(len(samples), one) for one in range(len(learned["weights"]))]
    places = [clusters.located(learned, samples, home) for home in homes]
    return np.asarray(np.linalg.norm(places, axis=2).min(axis=0))


def test_a_search_from_statistics_stays_in_the_region_of_the_class() -> None:
    order = confined(generations=20, mutation_scale=1.0)
    answer: Batch | Population = sample(order)
    while isinstance(answer, Population):
        assert lengths(order, answer.samples).max() < clusters.radius(3) * 1.02
        answer = evolve(order, answer, brightness(answer.samples))


@pytest.mark.parametrize("start", ["mean", "statistics"])
def test_survivors_leave_room_for_a_child(start: str) -> None:
    order = ordered({"start": start, "survivors": 1.0, "population": 4})
    before = sample(order)
    after = next_population(order, before, np.tile([0.4, 0.3, 0.2, 0.1], 5))
    kept = before.samples.reshape(5, 4, -1) == after.samples.reshape(5, 4, -1)
    assert kept.all(axis=2).tolist() == [[True, True, True, False]] * 5


def test_of_those_confident_enough_the_least_confident_is_chosen_in_a_region() -> None:
    order = confined(count=1, threshold=0.6)
    population = sample(order)
    end = evolve(order, population, np.array([0.1, 0.99, 0.7, 0.65, 0.8, 0.5, 1.0, 0.2]))
    assert isinstance(end, Batch)
    np.testing.assert_array_equal(end.samples[0], population.samples[3])


def test_a_culture_that_never_was_confident_gives_its_fittest() -> None:
    order = confined(count=1, generations=1)
    population = sample(order)
    end = evolve(order, population, np.arange(8) / 10)
    assert isinstance(end, Batch)
    np.testing.assert_array_equal(end.samples[0], population.samples[7])


def test_cultures_of_one_sample_do_not_all_count_as_done() -> None:
    order = confined(count=3, spacing=0.3)
    first = sample(order)
    alike = Population(np.repeat(first.samples[:1], 24, axis=0), 1)
    after = next_population(order, alike, np.full(24, 0.95)).samples.reshape(3, 8, -1)
    changed = [not np.array_equal(culture, alike.samples[:8]) for culture in after]
    assert changed == [False, True, True]


def test_without_spacing_cultures_may_be_alike() -> None:
    order = confined(count=3, spacing=0.0)
    alike = Population(np.repeat(sample(order).samples[:1], 24, axis=0), 1)
    assert isinstance(evolve(order, alike, np.full(24, 0.95)), Batch)


def test_statistics_cost_a_row_of_half_precision_for_each_coordinate() -> None:
    task = digits(classes=1)
    state = fitted(generator, task, {"start": "statistics", "components": 2, "dimensions": 10})
    assert state["0/basis"].nbytes == 10 * 64 * 2
    assert state["0/means"].shape == (2, 10)
    assert state["0/factors"].shape == (2, 55)
