"""What survives a restart: a state directory with the current version and the one before it.

    current.json, previous.json     manifests
    parts/<sha256>.safetensors      the parts that they list
    lock                            held by the one agent that may write

A file is written beside its place, synced, renamed into place, and the folder is synced. Parts come before the
manifest that lists them, and go after it. So a process that is killed, or a device that loses its power, leaves the
old version or the new one, whole. Reading needs no lock: at any moment one of the two manifests has all its parts.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from edge_agent.errors import Invalid, Occupied, Refused
from edge_agent.model import Model
from edge_agent.update import assemble
from schemas.model import Manifest, PartRef

log = logging.getLogger("rdg.agent")


@dataclass(frozen=True)
class Slots:
    """The state directory `root`. Anybody may `load`; only who got it from `opened` may `keep`."""

    root: Path

    def load(self) -> Model | None:
        """Return the current version, checked again; else the one before it; else None.

        Each version that is there and cannot be used is a line in the log.
        """
        for manifest_file in (self._current, self._previous):
            try:
                if manifest_file.exists():
                    return self._assembled(manifest_file)
            except Refused as error:
                log.warning("%s cannot be used: %s", manifest_file, error)
        return None

    def keep(
        self, manifest: Manifest, parts: Mapping[str, bytes], replaced: Manifest | None
    ) -> None:
        """Make the version current, and the one that ran until now the previous one; remove all others.

        Args:
            manifest: Of a model that `edge_agent.update.check` returned.
            parts: All its parts, by digest.
            replaced: What ran until now, if anything.

        Raises:
            Refused: The disk does not take it; the version that was current still is.

        """
        try:
            for part in manifest.parts:
                if self._read(part) is None:
                    _write(self._part(part.digest), parts[part.digest])
            if replaced:
                _write(self._previous, replaced.model_dump_json().encode())
            _write(self._current, manifest.model_dump_json().encode())
        except OSError as error:
            raise Refused(f"{self.root} does not take it: {error.strerror}") from error
        self._sweep(manifest, replaced)

    @property
    def _current(self) -> Path:
        return self.root / "current.json"

    @property
    def _previous(self) -> Path:
        return self.root / "previous.json"

    def _part(self, digest: str) -> Path:
        return self.root / "parts" / f"{digest}.safetensors"

    def _assembled(self, manifest_file: Path) -> Model:
        try:
            manifest = Manifest.model_validate_json(manifest_file.read_bytes())
        except ValidationError as error:
            raise Refused("it is damaged") from error
        except OSError as error:
            raise Refused(f"{error.strerror}") from error
        found = {part.digest: self._read(part) for part in manifest.parts}
        return assemble(manifest, {key: data for key, data in found.items() if data is not None})

    def _read(self, part: PartRef) -> bytes | None:
        """Return the part's bytes; None if they are not there or are not those of its digest."""
        try:
            with self._part(part.digest).open("rb") as file:
                data = file.read(part.size_bytes + 1)
        except OSError:
            return None
        return data if sha256(data).hexdigest() == part.digest else None

    def _sweep(self, *kept: Manifest | None) -> None:
        listed = {
            self._part(part.digest) for manifest in kept if manifest for part in manifest.parts
        }
        try:
            for file in self._part("").parent.iterdir():
                if file not in listed:
                    file.unlink()
        except OSError as error:
            log.warning("%s keeps parts that nothing lists: %s", self.root, error)


@contextmanager
def opened(root: Path) -> Iterator[Slots]:
    """Hold the state directory for this process, creating it if it is missing.

    Raises:
        Occupied: Another process holds it.
        Invalid: It cannot be created or written.

    """
    with _locked(root):
        yield Slots(root)


def _locked(root: Path) -> BinaryIO:
    """Return the open lock file; the lock ends when it is closed, or with this process."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / "parts").mkdir(exist_ok=True)
        lock = (root / "lock").open("ab")
    except OSError as error:
        raise Invalid(f"{root}: {error.strerror}; give a folder of yours with --state") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Occupied(
            f"{root}: another agent uses it; stop it, or give another --state"
        ) from error
    return lock


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
