"""What a sample is: uint8 in 0..255, or float32 in the units the model was trained in.

Samples come as (n, *shape), channels last: (n, h, w) grey, (n, h, w, channels) colour,
(n, features) tabular. Everything that computes on samples goes through `to_unit`.
"""

from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.float32]
SampleDtype = Literal["uint8", "float32"]


def to_unit(samples: Samples) -> NDArray[np.float32]:
    """Return uint8 as float32 in [0, 1] (divided by 255); float32 is returned as it is, uncopied.

    Raises:
        ValueError: Another dtype.

    """
    if samples.dtype == np.uint8:
        return np.divide(samples, np.float32(255), dtype=np.float32)
    if samples.dtype == np.float32:
        return samples.view(np.float32)
    raise ValueError(f"samples: dtype {samples.dtype}, convert to uint8 or float32")


def check_samples(samples: Samples, shape: tuple[int, ...], dtype: SampleDtype) -> None:
    """Check samples that come from outside.

    Args:
        samples: To be (n, *shape), n at least 1, every value finite.
        shape: Of one sample.
        dtype: The one that the data set was declared with.

    Raises:
        ValueError: Says what is wrong and what to do.

    """
    if samples.dtype != np.dtype(dtype):
        raise ValueError(f"samples: dtype {samples.dtype}, convert to {dtype}")
    if samples.shape[1:] != shape or samples.ndim == 0:
        wanted = ", ".join(map(str, ("n", *shape)))
        raise ValueError(f"samples: shape {samples.shape}, reshape to ({wanted})")
    if len(samples) == 0:
        raise ValueError("samples: none, give at least one")
    spoiled = np.flatnonzero(~is_finite(samples))
    if spoiled.size:
        raise ValueError(
            f"samples: {spoiled.size} of {len(samples)} hold NaN or Inf, the first at index"
            f" {spoiled[0]}: remove or repair them"
        )


def is_finite(samples: Samples) -> NDArray[np.bool_]:
    """Return for each sample whether all its values are finite, (n,)."""
    if samples.dtype == np.uint8:
        return np.ones(len(samples), dtype=np.bool_)
    return np.asarray(np.isfinite(samples).all(axis=tuple(range(1, samples.ndim))), dtype=np.bool_)


def fingerprints(samples: Samples) -> NDArray[np.uint64]:
    """Return a number for each sample's bytes, (n,): equal for equal samples, else by a chance of 2^-64."""
    if samples.dtype.kind == "f":
        samples = samples + 0  # which makes -0 equal to 0
    digests = [blake2b(sample.tobytes(), digest_size=8).digest() for sample in samples]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
