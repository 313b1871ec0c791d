"""Named arrays as bytes, in the safetensors format (https://github.com/huggingface/safetensors).

The same arrays give the same bytes, whatever the order of the mapping, so that a digest names them.
Reading runs no code from the file, and a file that is cut short or made to harm raises ValueError.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

MAX_TENSORS = 4096
MAX_HEADER_BYTES = 2**20

_DTYPES = frozenset(
    [
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float32",
        "float64",
    ]
)


def pack(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return the arrays as one safetensors file; none at all is a legal file.

    Raises:
        ValueError: A dtype or a name that the format cannot hold, or over a limit of this module.

    """
    if len(arrays) > MAX_TENSORS:
        raise ValueError(f"{len(arrays)} tensors, at most {MAX_TENSORS}: pack several files")
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"tensor {name!r}: dtype {array.dtype} cannot be packed, convert it")
        if name == "__metadata__":
            raise ValueError("tensor '__metadata__': the format reserves this name, use another")
    # The writer copies raw memory, so every array must be in C order and little-endian.
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    data = save({name: a.astype(a.dtype.newbyteorder("<")) for name, a in ordered.items()})
    _check_header(data)
    return data


def unpack(data: bytes | memoryview) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a safetensors file, as copies of its bytes.

    Raises:
        ValueError: Not a safetensors file, or with more than `MAX_TENSORS`, or a header over
            `MAX_HEADER_BYTES`, or a dtype that numpy does not have.

    """
    _check_header(data)
    try:
        arrays: dict[str, NDArray[np.generic]] = load(bytes(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    if len(arrays) > MAX_TENSORS:
        raise ValueError(f"not a safetensors file: {len(arrays)} tensors, at most {MAX_TENSORS}")
    return arrays


def _check_header(data: bytes | memoryview) -> None:
    # Before any parsing: a header names every tensor and so bounds the work of reading it.
    if (size := int.from_bytes(data[:8], "little")) > MAX_HEADER_BYTES:
        raise ValueError(
            f"not a safetensors file: header of {size} bytes, at most {MAX_HEADER_BYTES}"
        )
