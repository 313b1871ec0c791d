"""Accuracy and forgetting, in [0, 1].

A *task matrix* R has R[i, j] = accuracy on task j after training on task i, in training order. What
was not measured is NaN.
"""

import numpy as np
from numpy.typing import NDArray


def accuracy(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Return the share of equal entries; NaN of none."""
    return float(np.mean(labels == predictions)) if len(labels) else float("nan")


def accuracy_per_class(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    """Return the accuracy on each class, (n_classes,); NaN where the class has no samples."""
    counts = np.bincount(labels, minlength=n_classes)
    hits = np.bincount(labels[labels == predictions], minlength=n_classes)
    accuracies = np.full(n_classes, np.nan)
    np.divide(hits, counts, out=accuracies, where=counts > 0)
    return accuracies


def quadratic_score(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Return 1 - B / 2 with B of Brier 1950, the mean over classes so that each weighs the same.

    "Verification of Forecasts Expressed in Terms of Probability". Sure and right gives 1,
    sure and wrong 0.

    Args:
        labels: (n,), n at least 1.
        probabilities: (n, k).

    """
    errors = probabilities.astype(np.float64)  # (n, k)
    errors[np.arange(len(labels)), labels] -= 1
    penalties = (errors**2).sum(axis=1)  # (n,)
    return 1 - float(np.mean([penalties[labels == c].mean() for c in np.unique(labels)])) / 2


def forgetting(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the mean loss of accuracy over the classes that were measured both times.

    Args:
        before: Accuracy per class of the old model, (k_old,).
        after: Accuracy per class of the new model, (k,), k at least k_old.

    Returns:
        In [-1, 1]; negative if the old classes became better, 0 if no class was measured twice.

    """
    if len(after) < len(before):
        raise ValueError(
            f"after: {len(after)} classes, but {len(before)} before: give at least those"
        )
    loss = before - after[: len(before)]
    return float(np.nanmean(loss)) if np.isfinite(loss).any() else 0.0


def average_accuracy(matrix: NDArray[np.float64]) -> float:
    """Return ACC, the mean accuracy over all tasks at the end (Lopez-Paz & Ranzato 2017, eq. 2)."""
    return float(np.mean(_square(matrix)[-1]))


def backward_transfer(matrix: NDArray[np.float64]) -> float:
    """Return BWT, what later tasks did to earlier ones (Lopez-Paz & Ranzato 2017, eq. 3).

    The mean over all tasks but the last of R[last, j] - R[j, j]; 0 for a single task.
    """
    gains = _square(matrix)[-1] - np.diag(matrix)
    return float(np.mean(gains[:-1])) if len(gains) > 1 else 0.0


def average_forgetting(matrix: NDArray[np.float64]) -> float:
    """Return F at the end: how far each task fell from its best (Chaudhry et al. 2018).

    The mean over all tasks but the last of max over i < last of R[i, j], minus R[last, j]; 0 for a
    single task. Chaudhry, Dokania, Ajanthan, Torr: "Riemannian Walk for Incremental Learning".
    """
    if len(_square(matrix)) == 1:
        return 0.0
    best = np.nanmax(matrix[:-1, :-1], axis=0)
    return float(np.mean(best - matrix[-1, :-1]))


def _square(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"matrix: shape {matrix.shape}, give (tasks, tasks)")
    return matrix
