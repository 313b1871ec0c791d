"""Grey values by rank."""

import numpy as np

from learning.generators.grey import grey_table, to_grey


def test_values_become_the_nearest_grey() -> None:
    assert to_grey(np.array([-3, 1.6, 254.4, 300])).tolist() == [0, 2, 254, 255]


def test_what_was_drawn_gets_the_histogram_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    samples = np.where(rng.random(20_000) < 0.7, 0, 200).astype(np.uint8)
    drawn = rng.normal(90, 20, 20_000)
    restored = grey_table(samples, drawn)[to_grey(drawn)]
    assert set(np.unique(restored)) == {0, 200}
    assert abs((restored == 0).mean() - 0.7) < 0.02
