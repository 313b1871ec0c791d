"""Files with secrets: who else may read them."""

from pathlib import Path


def check_private(path: Path) -> None:
    """Raise ValueError if every user of the machine may read or write the file. Its group may be allowed to."""
    if path.stat().st_mode & 0o006:
        raise ValueError(f"{path} is open to every user of the machine; run `chmod o= {path}`")
