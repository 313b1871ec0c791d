"""A class as one Gaussian whose parameters hide every single sample: differential privacy for `gmm`.

What is released of a class is (epsilon, delta)-differentially private (Dwork and Roth 2014, "The algorithmic
foundations of differential privacy", definition 2.4): had one of its samples been any other, the odds of any outcome
would change by a factor of at most e^epsilon, but for a chance of delta. Public are: the labels, how many samples each
class has, their shape, the options. Each sample is in one class, so the bound of a class is that of the whole task.

Three sums are released, with Gaussian noise in proportion to what one sample, replaced, can change (its sensitivity):

1. The coordinates: the slowest cosines about mid-grey, a basis that no data chose. A sample of f grey values lies
   within sqrt(f) * 127.5 of mid-grey, its orthogonal coordinates too, so a replacement moves the sum by twice that at
   most.
2. The products u u' of the deviations u from the noisy mean, shortened to length C = sqrt(f) * clip where longer:
   |u u' - w w'|^2 = |u|^4 + |w|^4 - 2 (u'w)^2, at most 2 C^4. Noise as in Dwork et al. (2014), "Analyze Gauss".
3. The shares of dark to bright in a sample, which sum to 1: two such differ by sqrt(2) at most.

A sum of sensitivity D with noise of deviation s is D^2 / (2 s^2)-zero-concentrated private; releases add up, even where
one depends on those before; and rho of it give (rho + 2 sqrt(rho log(1 / delta)), delta): Bun and Steinke (2016),
"Concentrated differential privacy", propositions 1.6 and 1.3 and lemma 1.7. Solved for rho, that is `concentrated`. All
that follows, such as leaving out variances that noise alone could make, reads no data and costs nothing.

The noise must stay unknown, but whoever submits a job knows its seed. It therefore comes from the system's entropy: the
same fit repeated gives other bytes, and spends its budget anew. Not covered: whatever else is made of the real data,
such as a model trained on it, what that model filters and says of generated samples, and the digests of the data's
parts; nor what the rounding of floating-point noise may tell (Mironov 2012).
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators import cosines
from learning.generators.grey import counted
from learning.generators.subspaces import Subspaces

Floats = NDArray[np.float64]
Noise = Callable[[int], Floats]  # so many independent standard normal values

MIDDLE = 127.5  # of the grey values, and how far they reach from it
SHARES = {"mean": 0.2, "products": 0.6, "greys": 0.2}  # of the budget
GREYS = np.array([0, *range(1, 255, 16), 255, 256])  # first grey value of each bin; both ends alone
MOST_FEATURES = 1024  # of tabular data: noise, drawn one by one, takes as many values squared


@dataclass(frozen=True)
class Privacy:
    """How much may be learned of one sample.

    Attributes:
        epsilon: At least 0.001; the less, the more private, and the more noise.
        delta: In (0, 1); well below one in the number of samples.
        clip: Root mean square of a sample's deviations from the mean of its class, in grey values, over
            which they are shortened; to be chosen without a look at the data.

    """

    epsilon: float
    delta: float
    clip: float


def check(samples: NDArray[Any]) -> None:
    """Raise ValueError that names the remedy if samples (n, *shape) are not for `learn`."""
    if samples.dtype != np.uint8:
        raise ValueError("option 'epsilon' needs uint8 samples, whose range no data tells; drop it")
    if samples.ndim == 2 and samples.shape[1] > MOST_FEATURES:
        raise ValueError(
            f"option 'epsilon' takes at most {MOST_FEATURES} features, not {samples.shape[1]}: leave"
            " some out, give images in two dimensions, of which 'dimensions' are kept, or drop it"
        )


def secret(count: int) -> Floats:
    """Return standard normal values (count,) that no seed gives again."""
    source = random.SystemRandom()
    return np.array([source.gauss(0.0, 1.0) for _ in range(count)])


def concentrated(epsilon: float, delta: float) -> float:
    """Return the rho for which rho-zero-concentrated privacy is (epsilon, delta)-differential privacy."""
    doubt = math.log(1 / delta)
    return (math.sqrt(doubt + epsilon) - math.sqrt(doubt)) ** 2


def deviation(sensitivity: float, rho: float) -> float:
    """Return the standard deviation of the noise that makes a sum rho-zero-concentrated private."""
    return sensitivity / math.sqrt(2 * rho)


def learn(
    samples: NDArray[np.uint8], dimensions: int, privacy: Privacy, noise: Noise
) -> tuple[NDArray[np.float32], Subspaces]:
    """Return the mean (1, f), and the deviations from it, of samples (n, *shape), in grey values about `MIDDLE`.

    Images are described by their slowest cosines, `dimensions` at most, tabular data by all features.
    """
    rho = concentrated(privacy.epsilon, privacy.delta)
    reach, clip = (math.sqrt(samples[0].size) * each for each in (MIDDLE, privacy.clip))
    coordinates = _coordinates(samples, dimensions)
    scale = deviation(2 * reach, SHARES["mean"] * rho)
    mean = (summed(coordinates, reach) + scale * noise(coordinates.shape[1])) / len(samples)
    scale = deviation(math.sqrt(2) * clip**2, SHARES["products"] * rho)
    products = multiplied(coordinates - mean, clip) + scale * _symmetric(len(mean), noise)
    edge = scale * math.sqrt(2 * len(mean)) / len(samples)
    centre = np.pad(mean[None], ((0, 0), (0, samples[0].size - len(mean)))).astype(np.float32)
    return centre, _gaussian(products / len(samples), edge)


def greys(samples: NDArray[np.uint8], privacy: Privacy, noise: Noise) -> Floats:
    """Return the share (256,) of each grey value in the samples (n, *shape), even within each of `GREYS`."""
    rho = SHARES["greys"] * concentrated(privacy.epsilon, privacy.delta)
    counts = binned(samples) + deviation(math.sqrt(2), rho) * noise(len(GREYS) - 1)
    reached = np.maximum.accumulate(np.clip(np.cumsum(counts) / len(samples), 0, 1))
    reached[-1] = 1
    widths = np.diff(GREYS)
    return np.asarray(np.repeat(np.diff(reached, prepend=0) / widths, widths))


def summed(coordinates: Floats, reach: float) -> Floats:
    """Return the sum (d,) of coordinates (n, d) no longer than `reach`; its sensitivity is twice that."""
    return np.asarray(_shortened(coordinates, reach).sum(axis=0))


def multiplied(deviations: Floats, clip: float) -> Floats:
    """Return the sum of products (d, d) of deviations (n, d) shortened to `clip`; sensitivity sqrt(2) clip^2."""
    shortened = _shortened(deviations, clip)
    return np.asarray(shortened.T @ shortened)


def binned(samples: NDArray[np.uint8]) -> Floats:
    """Return the sum over samples of the shares of each of `GREYS` in a sample; sensitivity sqrt(2)."""
    return np.asarray(np.add.reduceat(counted(samples), GREYS[:-1]) / samples[0].size)


def _coordinates(samples: NDArray[np.uint8], dimensions: int) -> Floats:
    values = samples.astype(np.float32) - np.float32(MIDDLE)
    found = cosines.analyse(values, dimensions) if values.ndim > 2 else values
    return found.astype(np.float64)


def _shortened(vectors: Floats, most: float) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors * (most / np.maximum(lengths, most)))


def _symmetric(size: int, noise: Noise) -> Floats:
    """Return noise (size, size), on the diagonal of variance 1, elsewhere 1 / 2: there each value counts twice."""
    half = noise(size * size).reshape(size, size) / 2
    return np.asarray(half + half.T)


def _gaussian(covariance: Floats, edge: float) -> Subspaces:
    """Return a single component with the axes whose variance exceeds `edge`, the most that noise alone makes.

    Of such noise the eigenvalues fill a half circle: Wigner (1958).
    """
    variances, directions = np.linalg.eigh(covariance)
    kept = np.flatnonzero(variances > edge)[::-1]
    axes = (directions[:, kept] * np.sqrt(variances[kept])).T
    size = len(covariance)
    return Subspaces(
        np.ones(1), np.zeros((1, size), np.float32), axes[None].astype(np.float32), np.zeros(1)
    )
