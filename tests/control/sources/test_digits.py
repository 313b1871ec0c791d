import numpy as np

from control.sources import digits


def test_digits_are_bytes_over_the_whole_scale() -> None:
    splits = digits.read()

    assert splits.test is not None
    assert splits.train.samples.shape == (1347, 8, 8)
    assert splits.test.samples.shape == (450, 8, 8)
    assert splits.train.samples.dtype == np.uint8
    assert (splits.train.samples.min(), splits.train.samples.max()) == (0, 255)


def test_every_class_gives_a_quarter_to_the_test() -> None:
    splits = digits.read()

    assert splits.test is not None
    tested = np.bincount(splits.test.labels)
    share = tested / (tested + np.bincount(splits.train.labels))
    assert np.abs(share - 0.25).max() < 0.01


def test_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = digits.read(1), digits.read(1), digits.read(2)

    np.testing.assert_array_equal(first.train.samples, again.train.samples)
    assert not np.array_equal(first.train.samples, other.train.samples)
