"""Accuracy and forgetting as the field defines them, on matrices worked out by hand."""

import numpy as np
import pytest

from learning.metrics import (
    accuracy,
    accuracy_per_class,
    average_accuracy,
    average_forgetting,
    backward_transfer,
    forgetting,
    quadratic_score,
)

MATRIX = np.array([[0.9, 0.1, 0.0], [0.5, 0.8, 0.1], [0.6, 0.4, 1.0]])


def test_accuracy_is_the_share_of_hits() -> None:
    assert accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75
    assert np.isnan(accuracy(np.empty(0, np.int64), np.empty(0, np.int64)))


def test_class_without_samples_has_no_accuracy() -> None:
    found = accuracy_per_class(np.array([0, 0, 2]), np.array([0, 1, 3]), n_classes=4)
    np.testing.assert_array_equal(found, [0.5, np.nan, 0.0, np.nan])


def test_quadratic_score_weighs_classes_the_same() -> None:
    labels = np.array([0, 0, 0, 1])
    assert quadratic_score(labels, np.array([[1, 0]] * 4, np.float32)) == 0.5
    assert quadratic_score(labels[:3], np.array([[0.5, 0.5]] * 3, np.float32)) == 0.75


def test_quadratic_score_prefers_the_surer_of_two_that_are_right() -> None:
    labels = np.array([1])
    surer = quadratic_score(labels, np.array([[0.1, 0.9]], np.float32))
    assert quadratic_score(labels, np.array([[0.4, 0.6]], np.float32)) < surer < 1


def test_forgetting_counts_only_classes_measured_twice() -> None:
    before = np.array([1.0, 0.8, np.nan])
    after = np.array([0.5, 0.9, 0.9, 0.2])
    assert forgetting(before, after) == pytest.approx((0.5 - 0.1) / 2)


def test_nothing_measured_twice_is_nothing_forgotten() -> None:
    assert forgetting(np.array([np.nan]), np.array([1.0, 1.0])) == 0.0
    assert forgetting(np.empty(0), np.array([1.0])) == 0.0


def test_new_model_must_know_the_old_classes() -> None:
    with pytest.raises(ValueError, match="after: 1 classes, but 2 before"):
        forgetting(np.ones(2), np.ones(1))


def test_average_accuracy_is_the_last_row() -> None:
    assert average_accuracy(MATRIX) == pytest.approx((0.6 + 0.4 + 1.0) / 3)


def test_backward_transfer_compares_with_the_diagonal() -> None:
    assert backward_transfer(MATRIX) == pytest.approx(((0.6 - 0.9) + (0.4 - 0.8)) / 2)


def test_forgetting_compares_with_the_best_ever() -> None:
    matrix = np.array([[0.9, np.nan, np.nan], [0.95, 0.3, np.nan], [0.6, 0.4, 1.0]])
    assert average_forgetting(matrix) == pytest.approx(((0.95 - 0.6) + (0.3 - 0.4)) / 2)


def test_single_task_cannot_be_forgotten() -> None:
    assert backward_transfer(np.array([[0.7]])) == 0.0
    assert average_forgetting(np.array([[0.7]])) == 0.0


def test_matrix_must_be_square() -> None:
    with pytest.raises(ValueError, match=r"matrix: shape \(2, 3\), give \(tasks, tasks\)"):
        average_accuracy(np.ones((2, 3)))
