"""A full disk takes nothing, and is as before once it has room again."""

import os
from pathlib import Path

import pytest

from store.connect import open_store
from store.errors import StoreUnavailable
from tests.chaos.disk import Limit, Volume, storage
from tests.servers.mongodb import MongoNode, mongodb

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


@pytest.mark.mongo
async def test_full_disk_of_the_database_is_no_fault_of_the_message(
    tmp_path: Path, mongo_node: MongoNode
) -> None:
    with storage(tmp_path, 1500, lambda: mongo_node.pid) as disk:
        if isinstance(disk, Limit):
            pytest.skip("no file system may be mounted here")
        with mongodb(tmp_path) as node:
            async with open_store(node.database_url("rdg")) as store:
                disk.fill()
                with pytest.raises(StoreUnavailable, match="is full; free some space"):
                    await store.tally("j-1", {"seconds": 1.0})
                disk.free()
                await store.tally("j-1", {"seconds": 1.0})
                assert await store.tallies("j-1") == {"seconds": 1.0}
