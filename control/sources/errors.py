"""What can be wrong with a source of data. Each message is one line: where, what is wrong, the remedy.

SourceError
├── UnknownSource    nothing is known under that name: a set, a class, a file
├── InvalidData      the file or its arrays are not what they must be; its owner must act
└── DownloadFailed   no host gave the file; the network, or a copy by hand, must help
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the standard library and numpy raise on bytes that are not what they should be.
UNREADABLE = (
    EOFError,
    NotImplementedError,  # zipfile: a compression of its own
    OSError,
    RuntimeError,  # zipfile: an encrypted member
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class SourceError(Exception):
    """The data cannot be used as it is."""

    def __init__(self, where: Path | str, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)
        self.where = where
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return " ".join(f"{self.where}: {self.problem}; {self.remedy}".split())


class UnknownSource(SourceError):
    """Nothing is known under that name."""


class InvalidData(SourceError):
    """The file, or what it holds, is not what it must be."""


class DownloadFailed(SourceError):
    """No host gave the file."""


@contextmanager
def reading(file: Path, remedy: str = "the file is damaged or of another kind") -> Iterator[None]:
    """Turn what readers of `file` raise into a `SourceError` that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnknownSource(file, "there is no such file", "check the path") from error
    except PermissionError as error:
        raise InvalidData(file, "it may not be read", "change its permissions") from error
    except UNREADABLE as error:
        raise InvalidData(file, str(error) or type(error).__name__, remedy) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the disk raises while files are put into `folder` into a `SourceError`."""
    try:
        yield
    except OSError as error:
        remedy = "make room and grant access there, or name another folder for the cache"
        raise SourceError(folder, error.strerror or str(error), remedy) from error
