"""What counts as a sample, and what is said of one that does not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.samples import check_samples, fingerprints, is_finite, to_unit


def test_bytes_become_zero_to_one() -> None:
    unit = to_unit(np.array([[0, 51, 255]], dtype=np.uint8))
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, np.array([[0, 51 / 255, 1]], np.float32))


def test_float_is_taken_as_it_is() -> None:
    samples = np.array([[-3, 1e6]], np.float32)
    np.testing.assert_array_equal(to_unit(samples), samples)


def test_other_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype float64, convert to uint8 or float32"):
        to_unit(np.zeros((1, 2)))  # type: ignore[arg-type]  # the mistake under test


def test_good_samples_pass() -> None:
    check_samples(np.zeros((2, 8, 8, 3), dtype=np.uint8), (8, 8, 3), "uint8")
    check_samples(np.zeros((1, 5), dtype=np.float32), (5,), "float32")


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((2, 4), dtype=np.uint8), "dtype uint8, convert to float32"),
        (np.zeros((2, 5), dtype=np.float32), r"shape \(2, 5\), reshape to \(n, 4\)"),
        (np.zeros(4, dtype=np.float32), r"shape \(4,\), reshape to \(n, 4\)"),
        (np.zeros((0, 4), dtype=np.float32), "none, give at least one"),
        (
            np.array([[0] * 4, [np.nan] * 4, [np.inf] * 4], np.float32),
            "2 of 3 hold NaN or Inf, .* index 1:",
        ),
    ],
)
def test_bad_samples_are_named_with_the_remedy(samples: NDArray[np.float32], said: str) -> None:
    with pytest.raises(ValueError, match=f"samples: {said}"):
        check_samples(samples, (4,), "float32")


def test_each_sample_is_judged_finite_alone() -> None:
    samples = np.zeros((3, 2, 2), dtype=np.float32)
    samples[1, 0, 1] = -np.inf
    assert is_finite(samples).tolist() == [True, False, True]
    assert is_finite(np.zeros((3, 2), dtype=np.uint8)).all()


def test_equal_samples_and_no_others_have_equal_fingerprints() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (50, 4, 4)).astype(np.uint8)
    doubled = np.concatenate([samples, samples[:7]])
    found = fingerprints(doubled)
    assert len(np.unique(found)) == 50
    assert found[:7].tolist() == found[50:].tolist()


def test_no_samples_have_no_fingerprints() -> None:
    assert fingerprints(np.empty((0, 3), np.float32)).shape == (0,)
