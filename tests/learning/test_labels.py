"""What a sample is taught as: its class, the model's answer mixed in, or the model's class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from learning.labels import correct, soften


def rows(*probabilities: list[float]) -> NDArray[np.float32]:
    return np.array(probabilities, np.float32)


def test_the_model_corrects_where_it_is_sure_enough() -> None:
    scores = rows([0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.89, 0.01], [0.3, 0.3, 0.4])
    assert correct(scores, 0, {0, 1, 2}, 0.9).tolist() == [0, 1, 0, 0]


def test_a_label_is_corrected_to_the_classes_named_alone() -> None:
    scores = rows([0, 1, 0], [0, 0, 1])
    assert correct(scores, 0, {0, 1}, 0.9).tolist() == [1, 0]


def test_a_row_that_is_no_probability_corrects_nothing() -> None:
    assert correct(rows([np.nan, np.nan]), 0, {0, 1}, 0.0).tolist() == [0]


def test_soft_labels_are_a_mix_of_label_and_answer() -> None:
    soft = soften(rows([0.8, 0.2]), np.array([0]), 2, 0.25)
    np.testing.assert_allclose(soft, [[0.75 + 0.25 * 0.8, 0.25 * 0.2]], rtol=1e-6)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_class_that_the_model_does_not_know_stays_hard(weight: float) -> None:
    soft = soften(rows([0.8, 0.2], [0.8, 0.2]), np.array([2, 0]), 3, weight)
    assert soft[0].tolist() == [0, 0, 1]
    assert soft[1, 2] == 0


def test_a_model_that_disagrees_teaches_nothing() -> None:
    soft = soften(rows([0.4, 0.6]), np.array([0]), 2, 1.0)
    assert soft.tolist() == [[1, 0]]


def test_before_a_first_version_labels_are_hard() -> None:
    soft = soften(np.empty((2, 0), np.float32), np.array([1, 0]), 2, 0.5)
    assert soft.tolist() == [[0, 1], [1, 0]]


@given(
    scores=st.lists(
        st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=10
    ).map(lambda each: np.array(each, np.float32)),
    labels=st.lists(st.integers(0, 4), min_size=10, max_size=10),
    weight=st.floats(0, 1),
)
def test_every_row_is_a_probability_and_largest_at_its_label(
    scores: NDArray[np.float32], labels: list[int], weight: float
) -> None:
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    own = np.array(labels[: len(scores)])

    soft = soften(probabilities, own, 5, weight)

    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    assert soft.min() >= 0
    assert (soft[np.arange(len(own)), own] >= soft.max(axis=1) - 1e-6).all()
