"""Storage that can be full, and have room again.

A volume is a small file system of its own, which root may mount. Elsewhere a limit takes its place: the process is
forbidden to write files at all, which it meets in the same calls with another error.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

UNLIMITED = resource.RLIM_INFINITY
BLOCK = bytes(4096)


class Disk(Protocol):
    """What can be full."""

    def fill(self) -> None:
        """Leave no room for another byte."""
        ...

    def free(self) -> None:
        """Give the room back."""
        ...


@dataclass(frozen=True)
class Volume:
    """A file system in memory."""

    path: Path

    def fill(self) -> None:
        """Write a ballast file as large as the room."""
        with self._ballast.open("ab", buffering=0) as file:
            with suppress(OSError):  # somebody else took some of it meanwhile: block by block, then
                os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(self.path).free))
            with suppress(OSError):
                while file.write(BLOCK):
                    pass

    def free(self) -> None:
        """Delete the ballast."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@dataclass(frozen=True)
class Limit:
    """A process that may not write. Its successor may: a limit ends with its process."""

    pid: Callable[[], int]

    def fill(self) -> None:
        """Forbid it."""
        self._set(1)

    def free(self) -> None:
        """Allow it."""
        self._set(UNLIMITED)

    def _set(self, size: int) -> None:
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(self.pid(), resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid(), resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def storage(path: Path, megabytes: int, pid: Callable[[], int]) -> Iterator[Disk]:
    """Mount a volume at an empty folder, or limit the process that writes there if that is forbidden."""
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "rdg-chaos", str(path)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        yield Limit(pid)
        return
    try:
        yield Volume(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
