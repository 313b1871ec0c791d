"""The file of keys that services share: one line a key, the first of which seals and all of which open.

    # comment
    k-5f0c9a12 2026-05-11T09:30:00+00:00 <the key's 32 bytes in base64>

Only its owner, and perhaps a group, may read it. A new file takes the place of the old in one step.
"""

import os
import re
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.cipher import KEY_BYTES, Secret
from schemas.secret_file import check_private

_LINE = re.compile(
    r"(?P<id>[a-z0-9][a-z0-9-]{0,62}) +(?P<created>\S+) +(?P<secret>[A-Za-z0-9+/]{43}=)"
)
_HEAD = "# Keys of RDG: the first seals, all open. Keep it secret; see `rdg keys --help`.\n"


@dataclass(frozen=True)
class Key:
    """A key: its id is public and travels with every message; its secret is shown nowhere."""

    id: str
    created: datetime
    secret: Secret


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file, in its order.

    Raises:
        ValueError: There is none that can be used; one line that names the file, and never shows what is in it.

    """
    try:
        check_private(path)
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no file of keys; `rdg keys create` makes one") from None
    keys = [_read(path, number, line) for number, line in enumerate(lines, 1) if _is_key(line)]
    if not keys:
        raise ValueError(f"{path} holds no key; `rdg keys create` makes a file with one")
    if len({key.id for key in keys}) < len(keys):
        raise ValueError(f"{path}: two keys have one id; remove one of them")
    return tuple(keys)


def create(path: Path) -> Key:
    """Write a new file with one new key; raises ValueError if there is a file, or none can be made."""
    key = _new()
    try:
        _write(path, (key,), 0o600)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return key


def rotate(path: Path) -> tuple[Key, ...]:
    """Take the next of three steps, and return the keys.

    One key: a new one comes last, and opens. The newest is not first: it moves there, and seals. It is: the others go.
    Before each step every process must have started with the result of the step before. Raises ValueError as read_keys.
    """
    keys = read_keys(path)
    newest = max(keys, key=lambda key: key.created)
    if len(keys) == 1:
        keys = (newest, _new(after=newest))
    elif keys[0] is not newest:
        keys = (newest, *(key for key in keys if key is not newest))
    else:
        keys = (newest,)
    _replace(path, keys)
    return keys


def _new(after: Key | None = None) -> Key:
    """Return a random key, the newer of the two whatever the clock says."""
    created = datetime.now(UTC).replace(microsecond=0)
    if after is not None:
        created = max(created, after.created + timedelta(seconds=1))
    return Key(f"k-{secrets.token_hex(4)}", created, Secret(secrets.token_bytes(KEY_BYTES)))


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _read(path: Path, number: int, line: str) -> Key:
    try:
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(line)
        created = datetime.fromisoformat(found["created"]).astimezone(UTC)
        return Key(found["id"], created, Secret(b64decode(found["secret"])))
    except ValueError:
        wanted = "an id, a time and 32 bytes in base64, a space between them"
        raise ValueError(f"{path}, line {number}: expected {wanted}") from None


def _replace(path: Path, keys: Sequence[Key]) -> None:
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        _write(beside, keys, stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ValueError(f"{path}: {error.strerror}") from None


def _write(path: Path, keys: Sequence[Key], mode: int) -> None:
    """Write a new file; raises OSError if there is one."""
    lines = [f"{key.id} {key.created.isoformat()} {_text(key.secret)}\n" for key in keys]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.writelines((_HEAD, *lines))
        file.flush()
        os.fsync(file.fileno())


def _text(secret: Secret) -> str:
    return b64encode(secret.raw).decode("ascii")
