"""Which samples of a class to keep when not all may be: rankings of which any beginning is a choice.

Distances are between principal coordinates of the task, so that a value that never changes weighs nothing.
A ranking is an iterator: what is not asked for is not computed. "random" and "herding" draw from the seed,
the others have one answer.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning.generators.base import Task
from learning.generators.eigenspace import Eigenspace, eigenspace

Choice = Literal["random", "herding", "diverse", "typical", "hardest"]
Coordinates = NDArray[np.float32]

DIMENSIONS = 50
WAVES = 512
RIVALS = 5000


def rankings(task: Task, choice: Choice, seed: int) -> Iterator[tuple[int, Iterator[int]]]:
    """Yield each class with the indices of its samples, best first.

    Raises:
        ValueError: "hardest" is asked of a task of one class.

    """
    space = None if choice == "random" else eigenspace(task.samples, DIMENSIONS)
    for label in task.classes():
        rng = np.random.default_rng([seed, label])
        if space is None:
            yield label, iter(rng.permutation(np.count_nonzero(task.labels == label)))
        elif choice == "hardest":
            yield label, _hardest(space, task, label)
        else:
            yield label, _RANKINGS[choice](space.coordinates(task.of_class(label)), rng)


def _herding(own: Coordinates, rng: np.random.Generator) -> Iterator[int]:
    """Rank samples (n, d) so that every beginning has nearly the mean of all in a feature space.

    Greedy as in Welling (2009), "Herding dynamical weights to learn", and iCaRL (Rebuffi et al. 2017,
    algorithm 4). The features are random waves (Rahimi and Recht 2007), whose mean describes the whole
    distribution, not only its middle: kernel herding (Chen, Welling and Smola 2010, equation 8) with a
    Gaussian kernel as wide as the median distance.
    """
    features = _waves(own, rng)
    target = features.mean(axis=0)
    owed = np.zeros_like(target)  # what the samples ranked so far lack of their share of the mean
    norms = (features**2).sum(axis=1)
    for _ in own:
        owed += target
        best = int(np.argmin(norms - 2 * features @ owed))
        yield best
        owed -= features[best]
        norms[best] = np.inf


def _waves(own: Coordinates, rng: np.random.Generator) -> NDArray[np.float32]:
    one, other = rng.integers(len(own), size=(2, 1000))
    width = float(np.median(np.linalg.norm(own[one] - own[other], axis=1))) or 1.0
    directions = rng.standard_normal((own.shape[1], WAVES), np.float32) / np.float32(width)
    phases = (rng.random(WAVES, np.float32) * 2 * np.pi).astype(np.float32)
    return np.asarray(np.cos(own @ directions + phases))


def _diverse(own: Coordinates, rng: np.random.Generator) -> Iterator[int]:
    """Rank samples (n, d): the most typical, then always the one farthest from all before it.

    Gonzalez (1985), "Clustering to minimize the maximum intercluster distance"; as a coreset after
    Sener and Savarese (2018).
    """
    best = next(_typical(own, rng))
    nearest = np.full(len(own), np.inf)
    for _ in own:
        yield best
        nearest = np.minimum(nearest, np.linalg.norm(own - own[best], axis=1))
        nearest[best] = -1
        best = int(nearest.argmax())


def _typical(own: Coordinates, rng: np.random.Generator) -> Iterator[int]:
    """Rank samples (n, d) by their distance from the mean."""
    distances = np.linalg.norm(own - own.mean(axis=0), axis=1)
    return iter(np.argsort(distances, kind="stable").tolist())


_RANKINGS: dict[str, Callable[[Coordinates, np.random.Generator], Iterator[int]]] = {
    "herding": _herding,
    "diverse": _diverse,
    "typical": _typical,
}


def _hardest(space: Eigenspace, task: Task, label: int) -> Iterator[int]:
    """Rank the samples of a class by their distance from the nearest sample of another class."""
    others = np.flatnonzero(task.labels != label)
    if not len(others):
        raise ValueError("option 'choose': 'hardest' needs a task of two classes or more")
    rivals = space.coordinates(task.samples[others[:: -(-len(others) // RIVALS)]])
    distances = [_nearest(part, rivals) for part in _parts(space.coordinates(task.of_class(label)))]
    return iter(np.argsort(np.concatenate(distances), kind="stable").tolist())


def _parts(own: Coordinates) -> list[NDArray[Any]]:
    return np.array_split(own, -(-len(own) // 500))  # so that a table of distances stays small


def _nearest(own: Coordinates, rivals: Coordinates) -> NDArray[np.float32]:
    """Return the squared distance (n,) to the nearest rival."""
    squares = (own**2).sum(axis=1)[:, None] + (rivals**2).sum(axis=1)
    return np.asarray((squares - 2 * own @ rivals.T).min(axis=1))
