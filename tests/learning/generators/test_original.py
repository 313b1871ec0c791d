"""Rehearsal with real samples."""

import numpy as np

from learning.generators.base import Order
from learning.generators.original import generator, sample
from tests.learning.generators.tasks import fitted, grey


def test_samples_are_distinct_real_samples_of_the_class() -> None:
    task = grey()
    served = sample(Order(fitted(generator, task, {}), 2, 12, 0, {})).samples
    assert len(np.unique(served, axis=0)) == 12
    assert {image.tobytes() for image in served} <= {x.tobytes() for x in task.of_class(2)}


def test_an_order_for_more_than_was_kept_gets_all_of_it() -> None:
    task = grey()
    served = sample(Order(fitted(generator, task, {}), 2, 1000, 0, {})).samples
    assert len(served) == len(task.of_class(2))


def test_the_budget_is_kept_for_each_class() -> None:
    state = fitted(generator, grey(), {"budget": 7})
    assert {name: len(array) for name, array in state.items()} == {"2/samples": 7, "5/samples": 7}


def test_another_seed_keeps_other_samples() -> None:
    first, second = (fitted(generator, grey(), {"budget": 7}, seed) for seed in (0, 1))
    assert not np.array_equal(first["2/samples"], second["2/samples"])
