"""The content of a file, whether it is stored plain or gzipped, read with a bound.

A checksum is of the content: two gzip files of the same bytes differ, their contents do not.
"""

import gzip
import hashlib
from pathlib import Path
from typing import BinaryIO, cast

from control.sources.errors import InvalidData, reading
from control.sources.labelled import MAX_BYTES

GZIP_MAGIC = b"\x1f\x8b"
MAX_GZIP_RATIO = 1032  # deflate gives at most 258 bytes for 2 bits
CHUNK_BYTES = 1024**2


def is_gzip(path: Path) -> bool:
    """Return whether the file begins as gzip does, whatever its name."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def open_content(path: Path) -> BinaryIO:
    """Return a stream of the content; the caller closes it."""
    if is_gzip(path):
        return cast(BinaryIO, gzip.open(path, "rb"))  # a GzipFile reads as one
    return path.open("rb")


def largest_content(path: Path) -> int:
    """Return a bound, in bytes, on the content that a file of this size can hold."""
    stored = path.stat().st_size
    return stored * MAX_GZIP_RATIO if is_gzip(path) else stored


def content_sha256(path: Path) -> str:
    """Return the digest of the content, in hexadecimal.

    Raises:
        SourceError: The file cannot be read, or unpacks to more than `MAX_BYTES`.

    """
    digest = hashlib.sha256()
    n_bytes = 0
    with reading(path), open_content(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > MAX_BYTES:
                raise InvalidData(path, f"it unpacks to over {MAX_BYTES:,} bytes", "get it again")
            digest.update(chunk)
    return digest.hexdigest()
