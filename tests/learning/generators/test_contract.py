"""The rules that every generator keeps."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from learning.generators import BUILT_IN, load
from learning.generators.base import Generator, Order, Task
from tests.learning.generators.tasks import (
    QUICK,
    brightness,
    colour,
    drawn,
    fitted,
    grey,
    measured,
    never,
    tabular,
)


@pytest.fixture(params=QUICK)
def generator(request: pytest.FixtureRequest) -> Generator:
    name: str = request.param
    return replace(load(name.split()[0]), name=name)


def test_every_generator_is_held_to_the_rules() -> None:
    assert {name.split()[0] for name in QUICK} == set(BUILT_IN)


def ordered(generator: Generator, task: Task, count: int = 6, seed: int = 3) -> Order:
    options = QUICK[generator.name]
    state = fitted(generator, task, options)
    return Order(state, task.classes()[0], count, seed, options)


@pytest.mark.parametrize("make", [grey, colour, measured, tabular])
def test_samples_have_the_shape_and_dtype_of_the_task(
    generator: Generator, make: Callable[[], Task]
) -> None:
    task = make()
    samples = drawn(generator, ordered(generator, task), brightness)
    assert samples.shape == (6, *task.samples.shape[1:])
    assert samples.dtype == task.samples.dtype
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("make", [grey, tabular])
def test_samples_stay_inside_the_range_of_the_task(
    generator: Generator, make: Callable[[], Task]
) -> None:
    task = make()
    samples = drawn(generator, ordered(generator, task, count=50), brightness)
    low, high = (0, 255) if task.samples.dtype == np.uint8 else _range(task)
    assert (samples >= low).all()
    assert (samples <= high).all()


def _range(task: Task) -> tuple[object, object]:
    return task.samples.min(axis=0), task.samples.max(axis=0)


def test_a_fit_and_an_order_repeated_give_the_same_bytes(generator: Generator) -> None:
    first, second = ordered(generator, grey()), ordered(generator, grey())
    assert pack(dict(first.state)) == pack(dict(second.state))
    assert drawn(generator, first, brightness).tobytes() == (
        drawn(generator, second, brightness).tobytes()
    )


def test_global_random_state_and_earlier_orders_change_nothing(generator: Generator) -> None:
    order = ordered(generator, grey())
    expected = drawn(generator, order, brightness)
    np.random.seed(99)  # the legacy state is what must not matter
    drawn(generator, replace(order, seed=8, count=2), brightness)
    np.testing.assert_array_equal(drawn(generator, order, brightness), expected)


def test_another_seed_gives_other_samples(generator: Generator) -> None:
    order = ordered(generator, grey())
    other = drawn(generator, replace(order, seed=order.seed + 1), brightness)
    assert not np.array_equal(drawn(generator, order, brightness), other)


def test_another_class_gives_other_samples(generator: Generator) -> None:
    order = ordered(generator, grey(), count=20)
    second = drawn(generator, replace(order, label=5), brightness)
    assert not np.array_equal(drawn(generator, order, brightness), second)


def test_state_survives_safetensors(generator: Generator) -> None:
    order = ordered(generator, tabular())
    restored = replace(order, state=unpack(pack(dict(order.state))))
    np.testing.assert_array_equal(
        drawn(generator, restored, brightness), drawn(generator, order, brightness)
    )


def test_state_does_not_need_the_task(generator: Generator) -> None:
    task = grey()
    order = ordered(generator, task)
    expected = drawn(generator, order, brightness)
    task.samples[:] = 0
    np.testing.assert_array_equal(drawn(generator, order, brightness), expected)


def test_read_only_arrays_are_enough(generator: Generator) -> None:
    task = grey()
    task.samples.flags.writeable = False
    order = ordered(generator, task)
    for array in order.state.values():
        array.flags.writeable = False
    assert len(drawn(generator, order, brightness)) == 6


def test_a_task_of_one_class_is_enough(generator: Generator) -> None:
    order = ordered(generator, grey(classes=(7,)))
    assert len(drawn(generator, order, brightness)) == 6


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_class_of_very_few_samples_is_enough(generator: Generator, n: int) -> None:
    task = grey()
    labels = np.full(len(task.samples), 5)
    labels[:n] = 2
    order = ordered(generator, replace(task, labels=labels), count=4)
    samples = drawn(generator, order, brightness)
    assert 1 <= len(samples) <= 4
    assert samples.shape[1:] == (9, 10)


def test_equal_samples_are_enough(generator: Generator) -> None:
    task = replace(grey(), samples=np.full((60, 9, 10), 40, np.uint8))
    assert len(drawn(generator, ordered(generator, task), brightness)) == 6


def test_what_a_class_costs_can_be_counted(generator: Generator) -> None:
    state = fitted(generator, grey(), QUICK[generator.name])
    owners = {name.split("/")[0] for name in state if "/" in name}
    assert owners == {"2", "5"}


def test_a_class_that_was_not_fitted_is_refused(generator: Generator) -> None:
    order = replace(ordered(generator, grey()), label=4)
    with pytest.raises(ValueError, match=r"label 4 was not fitted; fitted labels are \[2, 5\]"):
        generator.sample(order)


def test_a_fit_that_pauses_at_every_chance_ends_in_the_same_state(generator: Generator) -> None:
    options = QUICK[generator.name]
    fit = generator.fit(grey(), options, 0, None, lambda: True)
    while fit.progress < 1:
        checkpoint = unpack(pack(dict(fit.state)))
        following = generator.fit(grey(), options, 0, checkpoint, lambda: True)
        assert following.progress > fit.progress
        fit = following
    assert pack(dict(fit.state)) == pack(dict(fitted(generator, grey(), options)))


def test_an_unknown_option_is_refused_by_name(generator: Generator) -> None:
    with pytest.raises(ValueError, match="option 'colour' is unknown; the options are "):
        generator.validate({"colour": 1})
    with pytest.raises(ValueError, match="option 'colour' is unknown; the options are "):
        generator.fit(grey(), {"colour": 1}, 0, None, never)


def test_usual_options_are_accepted(generator: Generator) -> None:
    generator.validate({})
    generator.validate(QUICK[generator.name])


def test_only_real_samples_are_trusted(generator: Generator) -> None:
    assert generator.trusted == (generator.name.split()[0] == "original")
