"""A full disk takes nothing, and is as before once it has room again."""

import os
from pathlib import Path

import pytest

from tests.chaos.disk import Limit, Volume, storage

MEGABYTE = bytes(1 << 20)


def test_full_disk_refuses_bytes_until_it_has_room(tmp_path: Path) -> None:
    with storage(tmp_path, 4, os.getpid) as disk:
        if isinstance(disk, Limit):
            pytest.skip("no file system may be mounted here")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "file").write_bytes(MEGABYTE)
        disk.free()
        (tmp_path / "file").write_bytes(MEGABYTE)
        assert isinstance(disk, Volume)


def test_limited_process_writes_no_file_until_it_may(tmp_path: Path) -> None:
    limit = Limit(os.getpid)
    limit.fill()
    try:
        with pytest.raises(OSError, match="File too large"):
            (tmp_path / "file").write_bytes(MEGABYTE)
    finally:
        limit.free()
    (tmp_path / "file").write_bytes(MEGABYTE)
