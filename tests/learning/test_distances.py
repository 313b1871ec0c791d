"""Distances between rows."""

import numpy as np
import pytest

from learning.distances import CHUNK, nearest_distances, squared_distances


def test_distances_are_root_mean_square_differences() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert squared_distances(rows, rows) == pytest.approx(np.array([[0, 12.5], [12.5, 0]]))


def test_the_nearest_is_found_across_chunks() -> None:
    rng = np.random.default_rng(0)
    rows, among = rng.normal(size=(CHUNK + 40, 3)), rng.normal(size=(70, 3))
    each = np.sqrt(((rows[:, None] - among) ** 2).mean(axis=2))
    assert nearest_distances(rows, among) == pytest.approx(each.min(axis=1), abs=1e-6)


def test_a_row_is_not_its_own_neighbour() -> None:
    rows = np.array([[0.0], [1.0], [5.0]])
    own = np.array([2, 0])
    assert nearest_distances(rows[own], rows, own) == pytest.approx([4, 1])


def test_rows_far_from_the_origin_keep_their_distances() -> None:
    rows = np.array([[1e6, 1e6], [1e6 + 1, 1e6]])
    assert nearest_distances(rows[:1], rows[1:]) == pytest.approx([np.sqrt(0.5)])
