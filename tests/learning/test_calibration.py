"""New classes are evened out against old ones, in the rows of the new classes alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.calibration import fit_bias, fold

NEW = np.array([2, 3])


def drawn(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return logits (n, 4) and labels drawn with the probabilities that the logits stand for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4))
    noisy = logits + rng.gumbel(size=logits.shape)  # the largest is drawn from their softmax
    return logits.astype(np.float32), noisy.argmax(axis=1)


def test_a_known_bias_towards_new_classes_is_taken_back() -> None:
    logits, labels = drawn(40_000)
    biased = logits.copy()
    biased[:, NEW] = logits[:, NEW] * 2 + 3

    scale, shift = fit_bias(biased, labels, NEW)

    assert (scale, shift) == pytest.approx((0.5, -1.5), abs=0.05)


def test_what_is_right_already_is_left_alone() -> None:
    assert fit_bias(*drawn(40_000), NEW) == pytest.approx((1, 0), abs=0.05)


def test_every_class_weighs_the_same_however_many_samples_it_has() -> None:
    logits, labels = drawn(40_000)
    many = np.flatnonzero(labels < 2)
    rare = np.concatenate([np.flatnonzero(labels >= 2), many[: len(many) // 10]])
    scale, shift = fit_bias(logits[rare], labels[rare], NEW)
    assert (scale, shift) == pytest.approx((1, 0), abs=0.15)


def test_separable_samples_give_finite_figures() -> None:
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]] * 50
    scale, shift = fit_bias(logits, np.arange(4), NEW)
    assert 0.1 <= scale <= 10
    assert abs(shift) < 100


def loss(logits: NDArray[np.float32], labels: NDArray[np.int64], shift: float) -> float:
    """Return the cross entropy, classes weighing the same, with new logits times 0.1 and shifted."""
    corrected = logits.astype(np.float64)
    corrected[:, NEW] = 0.1 * corrected[:, NEW] + shift
    losses = np.log(np.exp(corrected).sum(axis=1)) - corrected[np.arange(len(labels)), labels]
    return float(np.mean([losses[labels == label].mean() for label in range(4)]))


def test_the_shift_is_the_best_for_a_scale_at_the_end_of_its_range() -> None:
    logits, labels = drawn(2000)
    loud = logits.copy()
    loud[:, NEW] = logits[:, NEW] * 40 + 80
    scale, shift = fit_bias(loud, labels, NEW)
    best = min(np.arange(-20, 5, 0.05), key=lambda each: loss(loud, labels, each))
    assert scale == 0.1
    assert shift == pytest.approx(best, abs=0.3)  # but for the pull towards 0


def test_a_correction_that_does_not_lower_the_loss_is_none() -> None:
    """Logits beyond number, of a training that diverged, tell no loss."""
    logits, labels = drawn(20)
    with np.errstate(invalid="ignore"):
        assert fit_bias(logits * np.float32(np.nan), labels, NEW) == (1, 0)


def test_classes_without_samples_do_not_matter() -> None:
    logits, labels = drawn(4000)
    rows = np.isin(labels, [1, 3])
    gapless = fit_bias(logits[rows][:, [1, 3, 0, 2]], labels[rows] // 2, np.array([1, 3]))
    assert fit_bias(logits[rows], labels[rows], NEW) == pytest.approx(gapless)


@pytest.mark.parametrize("label", [0, 3])
def test_samples_of_one_side_alone_say_nothing(label: int) -> None:
    logits, _ = drawn(20)
    assert fit_bias(logits, np.full(20, label), NEW) == (1, 0)
    assert fit_bias(logits[:0], np.empty(0, np.int64), NEW) == (1, 0)


def test_folded_parameters_give_the_corrected_logits_and_change_no_other_row() -> None:
    rng = np.random.default_rng(0)
    head = {
        "backbone.0.weight": rng.normal(size=(5, 5)).astype(np.float32),
        "head.weight": rng.normal(size=(4, 5)).astype(np.float32),
        "head.bias": rng.normal(size=4).astype(np.float32),
    }
    before = {name: array.copy() for name, array in head.items()}
    features = rng.normal(size=(7, 5)).astype(np.float32)

    folded = fold(head, NEW, 0.5, -1.5)

    logits = features @ head["head.weight"].T + head["head.bias"]
    corrected = features @ folded["head.weight"].T + folded["head.bias"]
    np.testing.assert_allclose(corrected[:, NEW], 0.5 * logits[:, NEW] - 1.5, rtol=1e-5, atol=1e-5)
    for name in ("head.weight", "head.bias"):
        np.testing.assert_array_equal(folded[name][:2], head[name][:2])
    np.testing.assert_array_equal(folded["backbone.0.weight"], head["backbone.0.weight"])
    for name, array in before.items():
        np.testing.assert_array_equal(head[name], array)
