"""The learning rate depends on the share of training done and nothing else."""

import pytest

from learning.schedule import learning_rate


def test_a_constant_rate_stays() -> None:
    assert [learning_rate("constant", 0.1, done) for done in (0, 0.5, 0.99)] == [0.1, 0.1, 0.1]


def test_a_cosine_falls_from_the_rate_to_nothing() -> None:
    rates = [learning_rate("cosine", 0.1, done) for done in (0, 0.25, 0.5, 0.75, 1)]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447, 0], abs=1e-7)
