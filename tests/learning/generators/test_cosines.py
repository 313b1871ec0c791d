"""The transform against SciPy's, and its shapes."""

import numpy as np
import pytest
from scipy.fft import dctn  # type: ignore[import-untyped]

from learning.generators.cosines import analyse, synthesise

SHAPES = [(1, 17), (17, 1), (1, 1), (5, 4), (9, 7, 3), (28, 28)]


def images(shape: tuple[int, ...], n: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_coefficients_give_the_image_back(shape: tuple[int, ...]) -> None:
    given = images(shape)
    coefficients = analyse(given, given[0].size)
    assert coefficients.shape == (3, given[0].size)
    np.testing.assert_allclose(synthesise(coefficients, shape), given, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_distances_stay_as_they_are(shape: tuple[int, ...]) -> None:
    given = images(shape)
    lengths = np.linalg.norm(analyse(given, given[0].size), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(given.reshape(3, -1), axis=1), rtol=1e-5)


def test_coefficients_are_those_of_the_cosine_transform_the_slowest_first() -> None:
    given = images((4, 4))
    expected = dctn(given, axes=(1, 2), norm="ortho")
    slow = [expected[:, u, v] for u, v in ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))]
    np.testing.assert_allclose(analyse(given, 6), np.stack(slow, axis=1), atol=1e-5)


def test_a_longer_side_has_its_frequencies_in_waves_per_side() -> None:
    given = images((2, 8))
    expected = dctn(given, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(analyse(given, 4), expected[:, 0, :4], atol=1e-5)


def test_channels_of_a_wave_lie_together() -> None:
    flat = np.zeros((1, 6, 6, 3), np.float32) + np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(analyse(flat, 5), [[6, 12, 18, 0, 0]], atol=1e-5)


def test_the_first_coefficients_are_the_first_of_all_and_the_rest_count_as_0() -> None:
    given = images((9, 7, 3))
    every = analyse(given, 189)
    first = analyse(given, 20)
    np.testing.assert_allclose(first, every[:, :20], atol=1e-5)
    every[:, 20:] = 0
    np.testing.assert_allclose(
        synthesise(first, (9, 7, 3)), synthesise(every, (9, 7, 3)), atol=1e-5
    )


def test_more_coefficients_than_values_are_all() -> None:
    assert analyse(images((2, 3)), 100).shape == (3, 6)
