"""What is kept of a class: its bytes, and how little rounding changes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.low_rank import Size, draw, learn
from learning.generators.subspaces import LEAST_MEMBERS
from tests.learning.generators.tasks import digits

SIZE = Size(components=5, rank=4, dimensions=64, step=0.2)


def values(label: int = 3) -> NDArray[np.float32]:
    images = digits().of_class(label).astype(np.float32)
    return np.asarray((images - images.mean()) / images.std(), np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def size_of(learned: dict[str, NDArray[np.generic]]) -> int:
    return sum(array.nbytes for array in learned.values())


def test_the_mean_image_survives() -> None:
    drawn = draw(learn(values(), SIZE, None, rng()), (8, 8), 4000, rng())
    assert abs(drawn.mean(axis=0) - values().mean(axis=0)).max() < 0.1


def test_a_coarser_step_takes_fewer_bytes() -> None:
    sizes = [
        size_of(learn(values(), Size(5, 4, 64, step), None, rng())) for step in (0.02, 0.2, 2.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_fast_cosines_are_left_to_the_mean() -> None:
    slow = Size(5, 4, 10, 0.01)
    drawn = draw(learn(values(), slow, None, rng()), (8, 8), 50, rng())
    apart = (drawn - drawn.mean(axis=0)).reshape(50, -1)
    assert np.linalg.matrix_rank(apart, tol=1e-3) <= 10


def test_tabular_data_gets_its_residual_variance_back() -> None:
    table = rng().normal(size=(2000, 30)).astype(np.float32)
    drawn = draw(learn(table, Size(1, 2, 1, 0.01), None, rng()), (30,), 4000, rng())
    np.testing.assert_allclose(drawn.std(axis=0), table.std(axis=0), rtol=0.1)


@pytest.mark.parametrize("budget", [None, 1000])
def test_images_vary_as_much_as_those_of_the_class(budget: int | None) -> None:
    drawn = draw(learn(values(), SIZE, budget, rng()), (8, 8), 4000, rng())
    assert drawn.var(axis=0).sum() == pytest.approx(values().var(axis=0).sum(), rel=0.12)


@pytest.mark.parametrize("budget", [600, 1000, 1200])
def test_a_budget_is_used_and_never_exceeded(budget: int) -> None:
    learned = learn(values(), SIZE, budget, rng())
    assert budget / 2 < size_of(learned) <= budget
    assert learned["size"][1] == SIZE.rank


def test_a_large_budget_buys_no_component_of_few_samples() -> None:
    learned = learn(values(), SIZE, 100_000, rng())
    assert learned["size"][0] <= len(values()) / LEAST_MEMBERS


@pytest.mark.parametrize("budget", [100, 150, 200, 260])
def test_a_budget_of_less_than_a_usual_component_shortens_it(budget: int) -> None:
    table = rng().normal(size=(200, 25)).astype(np.float32)
    learned = learn(table, Size(9, 9, 1, 0.2), budget, rng())
    assert size_of(learned) <= budget
    assert learned["size"][0] == 1


def test_a_budget_below_a_mean_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"option 'budget_kb' must be 1 higher"):
        learn(values(), SIZE, 90, rng())


def test_a_budget_suits_very_few_samples() -> None:
    learned = learn(values()[:3], SIZE, 1000, rng())
    assert size_of(learned) <= 1000


def test_more_components_and_axes_than_samples_tell_are_no_harm() -> None:
    learned = learn(values()[:20], Size(10_000, 1000, 4096, 0.2), None, rng())
    components, rank, dimensions = learned["size"]
    assert components <= 6
    assert rank <= 18
    assert dimensions == 64


def test_damaged_arrays_are_refused() -> None:
    learned = learn(values(), SIZE, None, rng())
    with pytest.raises(ValueError, match="packed array"):
        draw(learned | {"axes": learned["axes"][:-4]}, (8, 8), 1, rng())
    with pytest.raises(ValueError, match="packed array"):
        draw(learned, (8, 9), 1, rng())


def test_a_large_image_needs_no_more_than_its_slow_cosines() -> None:
    waves = np.cos(np.arange(200) / 40)[:, None] * rng().normal(size=(30, 1, 1))
    images = np.broadcast_to(waves[..., None], (30, 200, 150, 3)).astype(np.float32)
    learned = learn(images, Size(1, 4, 100, 0.2), None, rng())
    drawn = draw(learned, (200, 150, 3), 100, rng())
    assert size_of(learned) < 3000
    assert drawn.std() == pytest.approx(images.std(), rel=0.3)
