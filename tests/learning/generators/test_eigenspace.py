"""Principal coordinates."""

import numpy as np
import pytest

from learning.generators import eigenspace
from tests.learning.generators.tasks import digits, tabular


def test_all_coordinates_give_the_samples_back() -> None:
    samples = tabular().samples
    space = eigenspace.eigenspace(samples, 99)
    assert len(space.basis) == 3  # the fourth feature is constant
    restored = space.values(space.coordinates(samples))
    np.testing.assert_allclose(restored, samples, rtol=1e-3)


def test_few_coordinates_hold_most_of_the_variance() -> None:
    samples = digits().samples
    space = eigenspace.eigenspace(samples, 20)
    lost = (space.values(space.coordinates(samples)) - samples.reshape(-1, 64)).var()
    assert lost < 0.12 * samples.var()


def test_samples_between_the_rows_looked_at_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eigenspace, "ROWS", 3)
    samples = np.array([[0, 1], [9, -9], [1, 2], [9, 9], [2, 3]], np.float32)
    space = eigenspace.eigenspace(samples, 2)
    np.testing.assert_allclose(space.centre, [1, 2])


def test_equal_samples_have_no_coordinates() -> None:
    samples = np.full((5, 3, 3), 7, np.uint8)
    space = eigenspace.eigenspace(samples, 4)
    assert space.basis.shape == (0, 9)
    np.testing.assert_array_equal(space.values(space.coordinates(samples)), 7)
