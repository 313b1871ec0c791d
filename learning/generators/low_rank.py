"""The arrays that stand for a class under `gmm`'s covariance "low_rank": fitted, packed, and drawn from.

Images are described by their slowest cosines (learning/generators/cosines.py), which cost nothing to keep, tabular
data by its features. A mixture of small subspaces (learning/generators/subspaces.py) is fitted to them; its means and
axes are rounded to steps and deflated, which is what makes many components affordable.

What a subspace leaves out is drawn for tabular data as noise. Images would be all grain: theirs vary as much more along
the axes, which teaches more than images that vary less than real ones (docs/learning.md).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators import cosines, subspaces
from learning.generators.base import Arrays
from learning.generators.packing import pack, unpack
from learning.generators.subspaces import Subspaces

Floats = NDArray[np.float32]

KILOBYTE = 1024
ROUNDS = 6
SHRINK = 0.95
FINER = 4  # steps of means in one of axes: an error in a mean is in every sample
FIRST_GUESS = 0.3  # bytes of a packed coefficient


class BudgetTooSmall(ValueError):
    """The mean of a class alone takes `missing` kilobytes more than the budget has, rounded up."""

    def __init__(self, missing: int) -> None:
        super().__init__(
            f"option 'budget_kb' must be {missing} higher: the mean of a class alone does not fit"
        )
        self.missing = missing


@dataclass(frozen=True)
class Size:
    """How much to keep: at most so many components, axes of each, and cosines; rounded to `step`.

    Without `grain` what a subspace leaves out lengthens its axes.
    """

    components: int
    rank: int
    dimensions: int
    step: float
    grain: bool = True


def learn(
    values: Floats, size: Size, budget: int | None, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return the arrays that stand for values (n, *shape), whose variance is about 1.

    With a budget in bytes the components of `size` do not count: there are as many as fit, of as many
    axes as `size` says, or where not even one fits, one of fewer axes.

    Raises:
        BudgetTooSmall: It does not hold one component.

    """
    size = replace(size, grain=values.ndim == 2)
    mean = values.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
    centre = _coordinates(mean, mean.size)
    centred = _coordinates(values, size.dimensions)
    centred = centred - centre[:, : centred.shape[1]]
    if budget is None:
        mixture = _fitted(centred, size, rng)
    else:
        rest = budget - pack(centre, size.step / FINER).nbytes
        mixture = _affordable(centred, size, rest, rng)
    return arrays(centre, mixture, size.step)


def arrays(centre: Floats, mixture: Subspaces, step: float) -> dict[str, NDArray[Any]]:
    """Return what `draw` needs: the mixture, of the first coordinates, about a centre (1, f) of all."""
    return {"centre": pack(centre, step / FINER), **_kept(mixture, step)}


def draw(learned: Arrays, shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Floats:
    """Return values (count, *shape).

    Raises:
        ValueError: The arrays are damaged.

    """
    finer = float(learned["step"]) / FINER
    centre = unpack(learned["centre"], finer, (1, math.prod(shape)))
    drawn = subspaces.draw(_mixture(learned), count, rng)
    if len(shape) == 1:
        return drawn + centre
    return cosines.synthesise(drawn, shape) + cosines.synthesise(centre, shape)


def _coordinates(values: Floats, count: int) -> Floats:
    """Return the slowest cosines (n, at most count) of images, or the features of tabular data."""
    return cosines.analyse(values, count) if values.ndim > 2 else values


def _affordable(centred: Floats, size: Size, budget: int, rng: np.random.Generator) -> Subspaces:
    """Return a mixture of as many components as the budget affords, which a first fit tells about."""
    component = centred.shape[1] * (size.rank + 1) * FIRST_GUESS
    mixture = _fitted(centred, replace(size, components=max(1, int(budget / component))), rng)
    share = budget / _bytes(_kept(mixture, size.step))
    size = replace(size, components=max(1, int(share * len(mixture.means))))
    mixture = _fitted(centred, size, rng)
    while _bytes(_kept(mixture, size.step)) > budget:
        size = _smaller(size, mixture, budget)
        mixture = _fitted(centred, size, rng)
    return mixture


def _smaller(size: Size, mixture: Subspaces, budget: int) -> Size:
    """Return fewer components than the mixture has, or of a single one fewer axes, to come near the budget."""
    components, rank, _ = mixture.axes.shape
    found = _bytes(_kept(mixture, size.step))
    share = max(0, min(SHRINK, budget / found))
    if components > 1:
        return replace(size, components=max(1, int(share * components)))
    if rank:
        return replace(size, rank=int(share * rank))
    raise BudgetTooSmall(math.ceil((found - budget) / KILOBYTE))


def _fitted(centred: Floats, size: Size, rng: np.random.Generator) -> Subspaces:
    mixture = subspaces.learn(centred, size.components, size.rank, ROUNDS, rng)
    return mixture if size.grain else subspaces.without_residuals(mixture)


def _kept(mixture: Subspaces, step: float) -> dict[str, NDArray[Any]]:
    return {
        "weights": mixture.weights.astype(np.float32),
        "size": np.array(mixture.axes.shape, np.int32),
        "step": np.array(step, np.float32),
        "means": pack(mixture.means, step / FINER),
        "axes": pack(mixture.axes.reshape(-1, mixture.axes.shape[2]), step),
        "residuals": mixture.residuals.astype(np.float32),
    }


def _mixture(learned: Arrays) -> Subspaces:
    components, rank, dimensions = (int(size) for size in learned["size"])
    step, weights = float(learned["step"]), learned["weights"].astype(np.float64)
    axes = unpack(learned["axes"], step, (components * rank, dimensions))
    return Subspaces(
        weights=weights / weights.sum(),
        means=unpack(learned["means"], step / FINER, (components, dimensions)),
        axes=axes.reshape(components, rank, dimensions),
        residuals=learned["residuals"].astype(np.float64),
    )


def _bytes(learned: Arrays) -> int:
    return sum(array.nbytes for array in learned.values())
