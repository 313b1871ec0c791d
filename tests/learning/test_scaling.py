"""Rows mean the same for every kind of data."""

import numpy as np
import pytest

from learning.scaling import FURTHEST, Scaling, places, some
from tests.learning.generators.tasks import grey, tabular


def test_images_share_one_scale() -> None:
    scaling = Scaling.of(grey().samples)
    rows = scaling.rows(grey().samples)
    assert scaling.centre.shape == scaling.spread.shape == (1,)
    assert rows.shape == (60, 90)
    assert (float(rows.mean()), float(rows.std())) == pytest.approx((0, 1), abs=1e-5)


def test_each_tabular_feature_has_its_own_and_a_constant_one_stays() -> None:
    rows = Scaling.of(tabular().samples).rows(tabular().samples)
    assert rows.std(axis=0) == pytest.approx([1, 1, 1, 0], abs=1e-3)


def test_what_lies_far_outside_is_bounded() -> None:
    scaling = Scaling.of(tabular().samples)
    wild = np.full((1, 4), 3e38, np.float32)
    assert np.abs(scaling.rows(wild)).max() == FURTHEST


def test_samples_are_taken_from_both_of_two_sources_that_alternate() -> None:
    alternating = np.arange(1000) % 2
    assert 0.3 < alternating[places(1000, 500)].mean() < 0.7
    assert len(np.unique(places(1000, 500))) == 500
    assert places(3, 500).tolist() == [0, 1, 2]
    assert some(np.arange(12, dtype=np.float32).reshape(6, 2), 3).shape == (3, 2)
