"""One array of an .npz file (a zip of .npy files), without pickle and with bounds that hold while it is unpacked.

What a zip says about its sizes may be a lie, in both directions. So the header of an array is compared with the
size that the zip claims, no more than that is ever unpacked, and memory is taken as bytes come, not as claimed.
"""

import math
import tokenize
import zipfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's; others unpack without a bound
MAX_HEADER_BYTES = 1024  # of one .npy file; a plain array's is about 100
MAX_DIMENSIONS = 32
MAX_SIDE = 2**40  # of an array without values: with any, their bytes are the limit
CHUNK_BYTES = 1024**2
READABLE_KINDS = "biufUS"  # boolean, whole, real, text
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
AGAIN = "save the file again"

Array = NDArray[np.generic]


class Unsound(ValueError):
    """An array that cannot be read, why, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


def name_of(member: zipfile.ZipInfo) -> str:
    """Return the array's name."""
    return member.filename.removesuffix(".npy")


def read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Return an array of numbers or text. The caller has bounded `member.file_size`; twice that is taken at most.

    Raises:
        Unsound: An array of objects, in a way that numpy does not pack, or not what its header says.
    Damaged bytes raise what zipfile and zlib raise.

    """
    name = f"array {name_of(member)[:64]!r}"
    if member.compress_type not in COMPRESSIONS:
        raise Unsound(f"{name} is packed in an unusual way", "save it with numpy.savez")
    with archive.open(member) as stream:
        shape, is_fortran, dtype = _read_header(stream, name)
        expected = math.prod(shape) * dtype.itemsize
        left = member.file_size - stream.tell()
        if expected != left:
            raise Unsound(f"{name} has {left:,} bytes, its header claims {expected:,}", AGAIN)
        values = _read_bytes(stream, expected)
    flat = np.frombuffer(values, dtype=dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _read_bytes(stream: IO[bytes], length: int) -> bytearray:
    values = bytearray()
    while chunk := stream.read(
        min(CHUNK_BYTES, length - len(values))
    ):  # the last one checks the sum
        values += chunk
    if len(values) < length:
        raise Unsound(f"it has {len(values):,} of {length:,} bytes", AGAIN)
    return values


def _read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        read_header = READ_HEADER[np.lib.format.read_magic(stream)]
        shape, is_fortran, dtype = read_header(stream, max_header_size=MAX_HEADER_BYTES)
    except (KeyError, ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        raise Unsound(f"{name} is no .npy file", "save the file with numpy.savez") from error
    if dtype.kind not in READABLE_KINDS or dtype.itemsize == 0:
        remedy = "save whole numbers, real numbers or text: np.asarray(values, dtype=str)"
        raise Unsound(f"{name}: its values are {dtype}", remedy)
    if len(shape) > MAX_DIMENSIONS or not all(0 <= length <= MAX_SIDE for length in shape):
        raise Unsound(f"{name}: its shape is {shape}", AGAIN)
    return shape, is_fortran, dtype
