"""Every batch holds new and old, every class equally often."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.batches import draw_epoch

NEW = np.repeat([8, 9], [100, 40])
REHEARSAL = np.repeat(np.arange(8), [30, 5, 30, 30, 30, 30, 30, 30])


def test_auto_ratio_gives_every_class_the_same_share_of_each_batch() -> None:
    epoch = draw_epoch(NEW, REHEARSAL, 50, "auto", np.random.default_rng(0))
    for new, rehearsal in zip(epoch.new, epoch.rehearsal, strict=True):
        labels = np.concatenate([NEW[new], REHEARSAL[rehearsal]])
        assert np.bincount(labels).tolist() == [5] * 10


def test_epoch_is_as_long_as_the_samples_are_many() -> None:
    epoch = draw_epoch(NEW, REHEARSAL, 50, "auto", np.random.default_rng(0))
    assert len(epoch.new) == len(epoch.rehearsal) == -(-(140 + 215) // 50)


def test_classes_come_equally_often_though_a_batch_cannot_hold_all() -> None:
    epoch = draw_epoch(NEW, REHEARSAL, 4, 0.5, np.random.default_rng(0))
    counts = np.bincount(REHEARSAL[epoch.rehearsal.ravel()])
    assert counts.max() - counts.min() <= 1


def test_no_sample_repeats_before_all_of_its_class_were_seen() -> None:
    labels = np.repeat([0, 1], [64, 8])
    epoch = draw_epoch(labels, np.empty(0, np.int64), 8, "auto", np.random.default_rng(0))
    times = np.bincount(epoch.new.ravel(), minlength=72)
    assert times[:64].max() == 1
    assert set(times[64:]) <= {4, 5}


def test_without_rehearsal_batches_are_all_new() -> None:
    epoch = draw_epoch(NEW, np.empty(0, np.int64), 20, 0.5, np.random.default_rng(0))
    assert (epoch.new.shape, epoch.rehearsal.shape) == ((7, 20), (7, 0))


def test_same_random_state_same_epoch() -> None:
    first, again, other = (
        draw_epoch(NEW, REHEARSAL, 16, "auto", np.random.default_rng([0, epoch]))
        for epoch in (1, 1, 2)
    )
    assert np.array_equal(first.new, again.new)
    assert np.array_equal(first.rehearsal, again.rehearsal)
    assert not np.array_equal(first.new, other.new)


@given(
    n_new=st.integers(1, 60),
    n_rehearsal=st.integers(1, 60),
    batch_size=st.integers(2, 40),
    ratio=st.one_of(st.just("auto"), st.floats(0.01, 0.99)),
)
def test_every_batch_holds_both(
    n_new: int, n_rehearsal: int, batch_size: int, ratio: float | Literal["auto"]
) -> None:
    epoch = draw_epoch(
        np.arange(n_new) % 3,
        np.arange(n_rehearsal) % 5,
        batch_size,
        ratio,
        np.random.default_rng(0),
    )
    assert epoch.new.shape[1] >= 1
    assert epoch.rehearsal.shape[1] >= 1
    assert epoch.new.shape[1] + epoch.rehearsal.shape[1] == batch_size
    assert epoch.new.max() < n_new
    assert epoch.rehearsal.max() < n_rehearsal


def test_ratio_is_the_share_of_rehearsal() -> None:
    epoch = draw_epoch(NEW, REHEARSAL, 40, 0.25, np.random.default_rng(0))
    assert epoch.rehearsal.shape[1] == pytest.approx(10)
