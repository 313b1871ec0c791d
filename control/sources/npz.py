"""The .npz container (a zip of .npy files), read with bounds and without pickle.

The sizes that the zip declares are summed before anything is unpacked, and each array's header is
compared with the size of its member before anything is allocated for its values.
"""

import math
import tokenize
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from control.sources.errors import InvalidData, reading
from control.sources.labelled import check_size

MAX_MEMBERS = 64
MAX_HEADER_BYTES = 1024  # of one .npy file; a plain array's is about 100
READABLE_KINDS = "biufUS"  # boolean, whole, real, text
READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Array = NDArray[np.generic]


def load(path: Path) -> dict[str, Array]:
    """Return the arrays by name.

    Raises:
        SourceError: Not an .npz file, damaged, encrypted, too large, or an array of objects.

    """
    with reading(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            problem = f"it holds {len(members):,} files"
            raise InvalidData(path, problem, f"give at most {MAX_MEMBERS} arrays")
        check_size(sum(member.file_size for member in members), str(path))
        return {_name(member): _read_member(archive, member, path) for member in members}


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Array:
    with archive.open(member) as stream:
        shape, is_fortran, dtype = _read_header(stream, f"{path}: {_name(member)}")
        expected = math.prod(shape) * dtype.itemsize
        left = member.file_size - stream.tell()
        if expected != left:
            problem = f"array {_name(member)!r} has {left:,} bytes, its header claims {expected:,}"
            raise InvalidData(path, problem, "save the file again")
        values = bytearray(stream.read())  # to the end, so that the checksum is compared
    flat = np.frombuffer(values, dtype=dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _read_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        read_header = READ_HEADER[np.lib.format.read_magic(stream)]
        shape, is_fortran, dtype = read_header(stream, max_header_size=MAX_HEADER_BYTES)
    except (KeyError, ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        remedy = "save the file with numpy.savez"
        raise InvalidData(where, "it is no .npy array", remedy) from error
    if dtype.kind not in READABLE_KINDS or dtype.itemsize == 0:
        remedy = "save whole numbers, real numbers or text: np.asarray(values, dtype=str)"
        raise InvalidData(where, f"its values are {dtype}", remedy)
    if any(length < 0 for length in shape):
        raise InvalidData(where, f"its shape is {shape}", "save the file again")
    return shape, is_fortran, dtype
