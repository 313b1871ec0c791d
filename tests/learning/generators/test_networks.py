"""Shapes and bounds of the two networks."""

import numpy as np
import pytest
import torch

from learning.generators.networks import VECTOR, draw, judge, new_critic, new_sampler


@pytest.mark.parametrize(
    "shape", [(28, 28), (8, 8), (9, 13), (15, 10, 3), (32, 32, 3), (7, 7), (5,), (1,), (4, 4, 4, 2)]
)
def test_any_shape_is_drawn_and_judged(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    sampler, critic = new_sampler(shape, 3, 5, 4, rng), new_critic(shape, 3, 4, rng)
    samples = draw(sampler, torch.randn(6, 5), torch.randn(6, VECTOR), shape)
    assert samples.shape == (6, *shape)
    assert samples.abs().max() <= 1
    assert judge(critic, samples, torch.tensor([0, 1, 2, 0, 1, 2])).shape == (6,)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(0)
    sampler = new_sampler((12, 12), 2, 5, 4, rng)
    latent, vector = torch.randn(6, 5), torch.randn(6, VECTOR)
    alone = draw(sampler, latent[:1], vector[:1], (12, 12))
    torch.testing.assert_close(draw(sampler, latent, vector, (12, 12))[:1], alone)


def test_the_critic_of_dense_layers_cannot_be_steep() -> None:
    critic = new_critic((6,), 1, 4, np.random.default_rng(0))
    one, other, classes = torch.randn(50, 6), torch.randn(50, 6), torch.zeros(50, dtype=torch.int64)
    for _ in range(50):  # the singular vectors settle
        judge(critic, one, classes)
    change = (judge(critic, one, classes) - judge(critic, other, classes)).abs()
    steepest = 2  # the score and the class direction, each of norm 1
    assert (change <= 1.01 * steepest * (one - other).norm(dim=1)).all()
