"""What a rehearsal sample is taught as: the class it was made for, or what the deployed model makes of it.

"hard": the class that it was made for. "soft": that class, mixed with the model's probability of each
class; what a previous model knows of the likeness of classes is in them (Hinton, Vinyals, Dean 2015,
"Distilling the Knowledge in a Neural Network"). "corrected": the model's class where it is sure that
the generator missed its own (pseudo-labels: Lee 2013).

A model has no say about a class that it does not know: such samples keep their class in every way.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def correct(
    probabilities: NDArray[np.float32], target: int, among: Collection[int], min_confidence: float
) -> NDArray[np.int64]:
    """Return each sample's class, (n,): the model's where it is sure enough, else the target.

    Args:
        probabilities: Of the deployed model, (n, k), k at least 1.
        target: Class that the samples were made for.
        among: Classes that a sample may be given.
        min_confidence: Least probability of the class that is given instead, in [0, 1].

    """
    favourites = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) >= min_confidence
    return np.where(sure & np.isin(favourites, list(among)), favourites, target).astype(np.int64)


def soften(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int, weight: float
) -> NDArray[np.float32]:
    """Return the probability of each class to teach, (n, n_classes); its largest is the label's.

    Where the model takes a sample for another class than its label, the label is taught alone: of a
    sample whose class is certain it would teach a mistake.

    Args:
        probabilities: Of a model that knows the first k classes, (n, k); k may be 0.
        labels: (n,), below n_classes.
        n_classes: At least k.
        weight: Share of the model's answer, in [0, 1]; the label has the rest.

    """
    soft = np.zeros((len(labels), n_classes), np.float32)
    soft[np.arange(len(labels)), labels] = 1
    known = probabilities.shape[1]
    if known:
        agreed = probabilities.argmax(axis=1) == labels
        soft[agreed] *= 1 - weight
        soft[agreed, :known] += weight * probabilities[agreed]
    return soft
