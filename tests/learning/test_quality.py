"""The figures that a reviewer sees, on sets whose figures are known."""

import numpy as np
import pytest

from learning.quality import measure


def test_counts_confidence_and_balance() -> None:
    samples = np.arange(4 * 4, dtype=np.uint8).reshape(4, 4)
    labels = np.array([3, 3, 3, 1])
    quality = measure(samples, labels, np.array([0.5, 0.75, 1.0, 0.9], np.float32))

    assert [(each.label, each.count) for each in quality.classes] == [(1, 1), (3, 3)]
    assert quality.classes[1].mean_confidence == pytest.approx(0.75)
    assert quality.classes[1].min_confidence == pytest.approx(0.5)
    assert quality.balance == pytest.approx(1 / 3)


def test_unjudged_class_has_no_confidence() -> None:
    quality = measure(
        np.zeros((2, 4), np.uint8), np.array([0, 1]), np.array([np.nan, 0.5], np.float32)
    )
    assert quality.classes[0].mean_confidence is None
    assert quality.classes[0].min_confidence is None
    assert quality.classes[1].mean_confidence == 0.5


def test_diversity_is_the_distance_to_the_nearest_of_the_class() -> None:
    samples = np.array([[0, 0], [1, 1], [3, 3], [0, 0]], np.float32)
    quality = measure(samples, np.array([0, 0, 0, 1]), np.ones(4, np.float32))
    assert quality.classes[0].diversity == pytest.approx((1 + 1 + 2) / 3)
    assert quality.classes[1].diversity == 0.0
    assert quality.diversity == pytest.approx((4 / 3 + 0) / 2)


def test_distances_between_images_are_in_zero_to_one() -> None:
    samples = np.zeros((2, 6, 6), np.uint8)
    samples[1] = 255
    quality = measure(samples, np.zeros(2, np.int64), np.ones(2, np.float32))
    assert quality.diversity == pytest.approx(1.0)
    assert quality.near_duplicates == 0.0


def test_collapsed_class_shows_as_near_duplicates() -> None:
    rng = np.random.default_rng(0)
    collapsed = rng.integers(100, 104, (300, 8, 8), dtype=np.uint8)
    varied = rng.integers(0, 256, (300, 8, 8), dtype=np.uint8)
    labels = np.repeat([0, 1], 300)

    quality = measure(np.concatenate([collapsed, varied]), labels, np.ones(600, np.float32))

    assert [each.near_duplicates for each in quality.classes] == [1.0, 0.0]
    assert quality.classes[1].diversity > 20 * quality.classes[0].diversity


def test_near_duplicates_are_found_far_from_the_origin() -> None:
    samples = np.array([[1e6, 1e6], [1e6, 1e6], [1e6 + 1, 1e6]], np.float32)
    quality = measure(samples, np.zeros(3, np.int64), np.ones(3, np.float32))
    assert quality.near_duplicates == pytest.approx(2 / 3)


def test_large_sets_are_sampled() -> None:
    samples = np.random.default_rng(0).random((5000, 784), dtype=np.float32)
    quality = measure(samples, np.zeros(5000, np.int64), np.ones(5000, np.float32))
    assert quality.classes[0].count == 5000
    assert 0.3 < quality.diversity < 0.45


@pytest.mark.parametrize("n_labels", [0, 2])
def test_lengths_must_agree(n_labels: int) -> None:
    with pytest.raises(ValueError, match="samples, labels, confidence: "):
        measure(
            np.zeros((n_labels and 3, 2), np.uint8),
            np.zeros(n_labels, np.int64),
            np.ones(n_labels, np.float32),
        )
