"""Arrays in few bytes: rounded to steps and deflated, or deflated as they are.

A coefficient that is small beside the step costs a fraction of a bit and one of ten steps about four, where a
fixed number of bits would give both the same. Unpacking never makes more bytes than the shape asks for, and what
was cut short or changed raises ValueError.
"""

import math
import zlib

import numpy as np
from numpy.typing import NDArray

LEVEL = 9
WHOLE = {size: np.dtype(f"<i{size}") for size in (1, 2, 4)}  # by their bytes


def deflate(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the array's bytes, compressed without loss, as (m,)."""
    return np.frombuffer(zlib.compress(np.ascontiguousarray(array).tobytes(), LEVEL), np.uint8)


def inflate(
    packed: NDArray[np.uint8], shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """Return the array of this shape that was deflated, read-only.

    Raises:
        ValueError: The bytes are not those of such an array.

    """
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0:
        raise ValueError(f"packed array: there is no shape {shape}")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed.tobytes(), wanted + 1)
    except zlib.error as error:
        raise ValueError(f"packed array: {error}") from error
    if len(content) != wanted or not stream.eof or stream.unused_data:
        raise ValueError(f"packed array: not the {wanted} bytes of {dtype} {shape}")
    return np.frombuffer(content, dtype).reshape(shape)


def pack(values: NDArray[np.float32], step: float) -> NDArray[np.uint8]:
    """Return values (rows, columns) rounded to whole steps, (m,).

    They are written column by column: neighbours of one column are alike in size, which deflating needs.

    Raises:
        ValueError: A value of 2^31 steps or more.

    """
    steps = np.rint(values.T / step)
    most = float(np.abs(steps).max(initial=0))
    fitting = [whole for whole in WHOLE.values() if most <= np.iinfo(whole).max]
    if not fitting:
        raise ValueError(f"a value of {most:g} steps cannot be packed: take a larger step")
    return np.concatenate(
        [np.array([fitting[0].itemsize], np.uint8), deflate(steps.astype(fitting[0]))]
    )


def unpack(packed: NDArray[np.uint8], step: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the values (rows, columns) that were packed with this step.

    Raises:
        ValueError: The bytes are not those of such values.

    """
    if not len(packed) or int(packed[0]) not in WHOLE:
        raise ValueError("packed array: it does not begin with the bytes of a value, 1, 2 or 4")
    whole = inflate(packed[1:], shape[::-1], WHOLE[int(packed[0])])
    return np.ascontiguousarray(whole.T.astype(np.float32) * np.float32(step))
