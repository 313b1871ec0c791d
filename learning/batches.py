"""The order in which training sees the samples.

Every batch holds new and rehearsal samples, and within each of the two every class comes equally
often: smaller classes are repeated, never larger ones dropped first. So a class in both, as a new
one is that was fitted too, comes about twice as often as one in the rehearsal alone. An epoch's
order depends on nothing but its arguments, so it can be drawn again in the middle of an epoch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Epoch:
    """Indices into the new and the rehearsal samples, (steps, per batch) each; row i is batch i."""

    new: NDArray[np.int64]
    rehearsal: NDArray[np.int64]


def draw_epoch(
    new: NDArray[np.int64],
    rehearsal: NDArray[np.int64],
    batch_size: int,
    replay_ratio: float | Literal["auto"],
    rng: np.random.Generator,
) -> Epoch:
    """Draw one epoch: as many samples as there are, rounded up to whole batches.

    Args:
        new: Labels of the new samples, (n,), n at least 1.
        rehearsal: Labels of the rehearsal samples, (m,), m may be 0.
        batch_size: At least 2; the last batch is as large as the others.
        replay_ratio: Rehearsal's share of a batch; "auto" gives every class of either the same
            share, one of both thus two, and rehearsal none if it is empty.
        rng: Drawn from in a fixed order.

    """
    steps = count_steps(len(new), len(rehearsal), batch_size)
    replayed = _replayed(new, rehearsal, batch_size, replay_ratio)
    return Epoch(
        new=_balanced(new, steps * (batch_size - replayed), rng).reshape(steps, -1),
        rehearsal=_balanced(rehearsal, steps * replayed, rng).reshape(steps, replayed),
    )


def count_steps(n_new: int, n_rehearsal: int, batch_size: int) -> int:
    """Return the number of batches of an epoch."""
    return -(-(n_new + n_rehearsal) // batch_size)


def _replayed(
    new: NDArray[np.int64],
    rehearsal: NDArray[np.int64],
    batch_size: int,
    replay_ratio: float | Literal["auto"],
) -> int:
    """Return how many samples of a batch are rehearsal: at least one and not all, if there are any."""
    if len(rehearsal) == 0:
        return 0
    n_new, n_rehearsal = len(np.unique(new)), len(np.unique(rehearsal))
    share = n_rehearsal / (n_new + n_rehearsal) if replay_ratio == "auto" else replay_ratio
    return min(max(1, round(batch_size * share)), batch_size - 1)


def _balanced(labels: NDArray[np.int64], total: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return indices, (total,), in which every run of n_classes has each class once."""
    if total == 0:
        return np.empty(0, dtype=np.int64)
    classes = np.unique(labels)
    rounds = -(-total // len(classes))
    columns = [_cycled(np.flatnonzero(labels == label), rounds, rng) for label in classes]
    grid = np.stack(columns, axis=1)  # (rounds, n_classes)
    return rng.permuted(grid, axis=1).reshape(-1)[:total]


def _cycled(indices: NDArray[np.int64], length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return fresh permutations of the indices one after the other, (length,)."""
    repeats = -(-length // len(indices))
    return np.concatenate([rng.permutation(indices) for _ in range(repeats)])[:length]
