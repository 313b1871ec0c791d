"""IDX, the format of MNIST and its successors: gzipped or plain.

Layout (http://yann.lecun.com/exdb/mnist): two zero bytes, a type (8 = unsigned byte), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values in row-major order.
The header is checked against the size of the file before anything is allocated for the values.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from control.sources.content import largest_content, open_content
from control.sources.errors import InvalidData, reading
from control.sources.labelled import Labelled, Splits, check_size

UNSIGNED_BYTE = 8
AGAIN = "get the file again"


def read(folder: Path, classes: Sequence[str]) -> Splits:
    """Read the four files of an MNIST-like set under their published names, `.gz` included."""
    return Splits(_read_split(folder, "train", classes), _read_split(folder, "t10k", classes))


def read_array(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Read one file.

    Raises:
        SourceError: Another format, type or number of dimensions; empty, too short, too long or too large.

    """
    with reading(path), open_content(path) as stream:
        shape = _read_shape(stream, path, n_dimensions)
        expected = math.prod(shape)
        if not expected:  # however large the other dimensions are
            raise InvalidData(path, "its header claims no values", "give a file with samples")
        check_size(expected, str(path))
        if expected > largest_content(path):
            raise InvalidData(path, f"its header claims {expected:,} bytes, it has fewer", AGAIN)
        values = bytearray(stream.read(expected))  # a bytearray, so that the array may be written
        if len(values) < expected:
            raise InvalidData(path, f"{len(values):,} of {expected:,} bytes: cut short", AGAIN)
        if stream.read(1):
            raise InvalidData(path, f"bytes after the {expected:,} that its header claims", AGAIN)
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read_split(folder: Path, prefix: str, classes: Sequence[str]) -> Labelled:
    images_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images = read_array(images_path, n_dimensions=3)  # (n, h, w)
    labels = read_array(labels_path, n_dimensions=1)  # (n,)
    if len(images) != len(labels):
        problem = f"{len(labels):,} labels for the {len(images):,} images of {images_path.name}"
        raise InvalidData(labels_path, problem, "take both files from the same set")
    return Labelled(images, labels.astype(np.int64), tuple(classes), str(images_path))


def _read_shape(stream: BinaryIO, path: Path, n_dimensions: int) -> tuple[int, ...]:
    header = stream.read(4 + 4 * n_dimensions)
    magic = bytes([0, 0, UNSIGNED_BYTE, n_dimensions])
    if header[:4] != magic:
        begin = header[:4].hex(" ") or "nothing"
        problem = f"it begins with {begin}, not {magic.hex(' ')}"
        remedy = f"give an IDX file of {n_dimensions}-dimensional unsigned bytes"
        raise InvalidData(path, problem, remedy)
    if len(header) < 4 + 4 * n_dimensions:
        raise InvalidData(path, "its header is cut short", AGAIN)
    return struct.unpack(f">{n_dimensions}I", header[4:])
