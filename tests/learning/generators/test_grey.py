"""Grey values by rank."""

import math

import numpy as np
import pytest

from learning.generators.grey import BLOCK, DRAWN, blocks, grey_table, to_grey


def test_values_become_the_nearest_grey() -> None:
    assert to_grey(np.array([-3, 1.6, 254.4, 300])).tolist() == [0, 2, 254, 255]


def test_what_was_drawn_gets_the_histogram_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    samples = np.where(rng.random((200, 100)) < 0.7, 0, 200).astype(np.uint8)
    drawn = rng.normal(90, 20, (200, 100))
    restored = grey_table(samples, [drawn[:150], drawn[150:]])[to_grey(drawn)]
    assert set(np.unique(restored)) == {0, 200}
    assert abs((restored == 0).mean() - 0.7) < 0.02


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (224, 224, 3), (3000, 3000)])
def test_blocks_are_as_large_as_memory_may_be_and_together_all_samples(
    shape: tuple[int, ...],
) -> None:
    counts = list(blocks(shape))
    assert sum(counts) == DRAWN
    assert max(counts) == 1 or max(counts) * math.prod(shape) <= BLOCK
    assert (len(counts) == 1) == (math.prod(shape) * DRAWN <= BLOCK)
