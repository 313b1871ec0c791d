"""How originals and mixture share bytes and orders."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.base import Arrays, Order, Task
from learning.generators.mix import generator, sample
from learning.options import Options
from tests.learning.generators.tasks import digits, fitted, never, tabular


@pytest.fixture(scope="module")
def state() -> Arrays:
    return fitted(generator, digits(2), {"budget_kb": 4})


def served(state: Arrays, count: int, **options: float) -> NDArray[np.uint8]:
    return sample(Order(state, 1, count, 0, {"budget_kb": 4, **options})).samples


def are_real(samples: NDArray[Any], task: Task) -> NDArray[np.bool_]:
    real = {image.tobytes() for image in task.of_class(1)}
    return np.array([image.tobytes() in real for image in samples])


def size(state: Arrays, prefix: str) -> int:
    return sum(array.nbytes for name, array in state.items() if name.startswith(prefix))


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_both_parts_together_keep_the_budget_and_originals_get_at_least_their_share(
    share: float,
) -> None:
    state = fitted(generator, digits(2), {"budget_kb": 6, "share": share, "compress": False})
    for label in (0, 1):
        assert size(state, f"{label}/") <= 6 * 1024
        assert (
            size(state, f"{label}/original/") > 0.7 * share * 6 * 1024
        )  # more, if few components suffice


def test_an_order_has_originals_by_their_share(state: Arrays) -> None:
    assert are_real(served(state, 20, share=0.4), digits(2)).sum() == 8
    assert are_real(served(state, 1, share=0.9), digits(2)).sum() == 1
    assert are_real(served(state, 1, share=0.1), digits(2)).sum() == 0


def test_the_mixture_gives_what_the_originals_cannot(state: Arrays) -> None:
    samples = served(state, 2000, share=0.9)
    originals = are_real(samples, digits(2)).sum()
    assert len(samples) == 2000
    assert originals == state["1/original/count"][0] < 1800


def test_the_originals_come_first_and_are_certain(state: Arrays) -> None:
    batch = sample(Order(state, 1, 40, 0, {"budget_kb": 4}))
    real = are_real(batch.samples, digits(2))
    assert batch.certain == 20
    assert real[:20].all()
    assert not real[20:].any()


def test_orders_of_one_class_share_its_originals(state: Arrays) -> None:
    served = [
        sample(Order(state, 1, 30, start, {"budget_kb": 4}, start, common_seed=1))
        for start in range(0, 2000, 30)
    ]
    originals = np.concatenate([batch.samples[: batch.certain] for batch in served])
    assert len(originals) == state["1/original/count"][0]
    assert len(np.unique(originals, axis=0)) == len(originals)
    assert all(len(batch.samples) == 30 for batch in served)


def test_options_of_the_mixture_reach_it() -> None:
    state = fitted(generator, digits(2), {"budget_kb": 4, "lookup": False})
    assert "1/gmm/grey" not in state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_kb": 1}, "option 'budget_kb' must be between 2 and"),
        ({"share": 0.0}, "option 'share' must be between 0.01 and 0.99"),
        ({"covariance": "full"}, "option 'covariance' of 'mix' is always 'low_rank'"),
        ({"epsilon": 1.0}, "option 'epsilon' is not for 'mix'"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_a_fit(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generator.validate(options)


def test_a_budget_without_room_for_the_mixture_is_refused() -> None:
    wide = np.random.default_rng(0).normal(size=(60, 2000)).astype(np.float32)
    with pytest.raises(ValueError, match="option 'budget_kb' must be"):
        generator.fit(Task(wide, np.zeros(60, np.int64), 1), {"budget_kb": 2}, 0, None, never)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.99])
def test_a_budget_as_much_higher_as_advised_holds_the_mixture(share: float) -> None:
    table = np.random.default_rng(0).normal(size=(60, 2000)).astype(np.float32)
    task = Task(table, np.zeros(60, np.int64), 1)
    with pytest.raises(ValueError, match=r"must be \d+ higher") as refused:
        generator.fit(task, {"budget_kb": 2, "share": share}, 0, None, never)
    advised = int(str(refused.value).split()[4])
    options: Options = {"budget_kb": 2 + advised, "share": share}
    assert generator.fit(task, options, 0, None, never).progress == 1


def test_a_budget_without_room_for_one_original_is_refused() -> None:
    noise = np.random.default_rng(0).integers(256, size=(60, 80, 80), dtype=np.uint8)
    task = Task(noise, np.zeros(60, np.int64), 1)
    with pytest.raises(ValueError, match=r"the mixture leaves .* to keep one sample a class"):
        generator.fit(task, {"budget_kb": 9, "share": 0.05, "dimensions": 100}, 0, None, never)


def test_tabular_data_is_shared_too() -> None:
    state = fitted(generator, tabular(), {"budget_kb": 2})
    assert len(sample(Order(state, 1, 10, 0, {"budget_kb": 2})).samples) == 10
