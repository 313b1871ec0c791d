"""Rehearsal with real samples."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from learning.generators.base import Arrays, Order, Task
from learning.generators.coreset import rankings
from learning.generators.original import generator, sample
from learning.options import Options
from tests.learning.generators.tasks import digits, fitted, grey, tabular

RAW: Options = {"compress": False}


def test_samples_are_distinct_real_samples_of_the_class() -> None:
    task = grey()
    served = sample(Order(fitted(generator, task, {}), 2, 12, 0, {})).samples
    assert len(np.unique(served, axis=0)) == 12
    assert {image.tobytes() for image in served} <= {x.tobytes() for x in task.of_class(2)}


def test_an_order_for_more_than_was_kept_gets_all_of_it() -> None:
    task = grey()
    served = sample(Order(fitted(generator, task, {}), 2, 1000, 0, {})).samples
    assert len(served) == len(task.of_class(2))


def test_orders_with_a_common_seed_share_what_is_kept_until_nothing_is_left() -> None:
    task = grey()
    state = fitted(generator, task, {})
    served = [
        sample(Order(state, 2, 7, start, {}, start, common_seed=1)) for start in range(0, 210, 7)
    ]
    together = np.concatenate([batch.samples for batch in served])
    assert len(together) == len(np.unique(together, axis=0)) == len(task.of_class(2))
    assert len(served[-1].samples) == 0
    assert all(batch.certain == len(batch.samples) for batch in served)


def test_the_budget_is_kept_for_each_class() -> None:
    state = fitted(generator, grey(), {**RAW, "budget": 7})
    assert {name: len(array) for name, array in state.items()} == {"2/samples": 7, "5/samples": 7}


def test_another_seed_keeps_other_samples() -> None:
    first, second = (
        fitted(generator, grey(), {**RAW, "budget": 7, "choose": "random"}, seed) for seed in (0, 1)
    )
    assert not np.array_equal(first["2/samples"], second["2/samples"])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("budget_kb", [0.8, 3.0])
def test_a_budget_of_bytes_is_used_and_never_exceeded(compress: bool, budget_kb: float) -> None:
    options: Options = {"budget_kb": budget_kb, "compress": compress}
    state = fitted(generator, digits(2), options)
    for label in (0, 1):
        assert 0.9 * budget_kb * 1024 < size(state, label) <= budget_kb * 1024


def size(state: Arrays, label: int) -> int:
    return sum(array.nbytes for name, array in state.items() if name.startswith(f"{label}/"))


def test_a_budget_that_is_large_enough_keeps_all() -> None:
    task = grey()
    state = fitted(generator, task, {**RAW, "budget_kb": 2.7, "choose": "diverse"})
    np.testing.assert_array_equal(state["2/samples"], task.of_class(2))  # 30 of 90 bytes


def test_both_budgets_hold() -> None:
    samples = [
        len(fitted(generator, grey(), {**RAW, "budget": count, "budget_kb": 1.0})["2/samples"])
        for count in (4, 40)
    ]
    assert samples == [4, 11]  # of 90 bytes each


def test_a_budget_too_small_for_one_sample_names_one_that_is_not() -> None:
    with pytest.raises(ValueError, match=r"option 'budget_kb' must be 0\.088 or more"):
        fitted(generator, grey(), {**RAW, "budget_kb": 0.05})
    assert len(fitted(generator, grey(), {**RAW, "budget_kb": 0.088})["2/samples"]) == 1


@pytest.mark.parametrize("make", [digits, tabular])
def test_compressed_samples_come_back_as_they_were(make: Callable[[], Task]) -> None:
    task = make()
    plain, compressed = (
        sample(Order(fitted(generator, task, {"budget": 9, "compress": on}), 1, 9, 0, {})).samples
        for on in (False, True)
    )
    np.testing.assert_array_equal(compressed, plain)


def test_images_with_plain_areas_take_fewer_bytes_compressed() -> None:
    states = [fitted(generator, digits(2), {"budget": 50, "compress": on}) for on in (False, True)]
    assert size(states[1], 0) < 0.5 * size(states[0], 0)


@pytest.mark.parametrize("claimed", [49, 51])
def test_more_or_less_than_the_known_size_is_refused(claimed: int) -> None:
    state = dict(fitted(generator, digits(2), {"budget": 50, "compress": True}))
    state["0/count"] = np.array([claimed])
    with pytest.raises(ValueError, match="packed array: not the"):
        sample(Order(state, 0, 5, 0, {}))


def test_what_is_kept_is_by_herding_unless_chosen_otherwise() -> None:
    task = digits(2)
    kept = fitted(generator, task, {**RAW, "budget": 8})["1/samples"]
    ranking = dict(rankings(task, "herding", 0))[1]
    np.testing.assert_array_equal(kept, task.of_class(1)[np.sort(list(islice(ranking, 8)))])
