"""The range of values and the way back to the dtype."""

import numpy as np

from learning.generators.values import to_samples, value_range


def test_grey_values_span_a_byte() -> None:
    bounds = value_range(np.full((2, 3, 3), 9, np.uint8))
    assert bounds.shape == (2, 1, 1)
    assert bounds.ravel().tolist() == [0, 255]


def test_float_images_share_one_range() -> None:
    bounds = value_range(np.arange(8, dtype=np.float32).reshape(2, 2, 2))
    assert bounds.ravel().tolist() == [0, 7]


def test_tabular_data_has_a_range_for_each_feature() -> None:
    bounds = value_range(np.array([[0, 5], [2, 1]], np.float32))
    assert bounds.tolist() == [[0, 1], [2, 5]]


def test_grey_values_are_clipped_and_rounded() -> None:
    bounds = value_range(np.zeros((1, 3), np.uint8))
    samples = to_samples(np.array([[-4, 1.6, 300]]), bounds, np.dtype(np.uint8))
    assert samples.tolist() == [[0, 2, 255]]
