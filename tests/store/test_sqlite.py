"""What only the embedded store promises: one file for several processes, safe from kill -9."""

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from schemas.documents import DOCUMENTS, Model
from store.errors import Damaged, StoreError, StoreUnavailable
from store.sqlite import SCHEMA_VERSION, SqliteStore

ROOT = Path(__file__).parents[2]

# Adds one to a counter as often as told, and prints each acknowledged value.
WRITER = """
    import asyncio, sys
    from schemas.documents import Model
    from store.base import change
    from store.sqlite import SqliteStore

    async def main(path, times):
        async with SqliteStore.open(path, wait_s=30) as store:
            await store.insert(Model(id="counter", released=0))
            for _ in range(times):
                done = await change(store, Model, "counter", lambda model:
                    model.model_copy(update={"released": model.released + 1}))
                await store.put_part(str(done.released).encode(), "writer")
                print(done.released, flush=True)

    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def writer(path: Path, times: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(times)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def test_store_is_for_its_owner_only(sqlite_path: Path) -> None:
    async with SqliteStore.open(sqlite_path):
        assert stat.S_IMODE(sqlite_path.parent.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in sqlite_path.parent.iterdir()} == {
            0o600
        }


async def test_processes_that_create_and_change_one_file_at_once_lose_nothing(
    sqlite_path: Path,
) -> None:
    writers = [writer(sqlite_path, 20) for _ in range(4)]
    for process in writers:
        await asyncio.to_thread(process.communicate, timeout=60)
    assert [process.returncode for process in writers] == [0] * 4
    async with SqliteStore.open(sqlite_path) as store:
        assert (await store.get(Model, "counter")).released == 80
        assert await store.drop_parts("writer") == 80


async def test_opening_waits_for_a_process_that_is_creating_the_file(sqlite_path: Path) -> None:
    sqlite_path.parent.mkdir()
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # SQLite refuses a change of journal mode at once now
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(opened(sqlite_path))
            _, waiting = await asyncio.wait({opening}, timeout=0.2)
            other.execute("ROLLBACK")
    assert waiting == {opening}


async def opened(path: Path) -> None:
    async with SqliteStore.open(path, wait_s=30) as store:
        await store.ping()


async def test_kill_of_a_writer_loses_nothing_acknowledged(sqlite_path: Path) -> None:
    with writer(sqlite_path, 1_000_000) as process:
        assert process.stdout is not None
        acknowledged = [await asyncio.to_thread(process.stdout.readline) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()
    last = int([line for line in acknowledged if line.endswith("\n")][-1])
    async with SqliteStore.open(sqlite_path) as store:
        released = (await store.get(Model, "counter")).released
        assert released in (last, last + 1)  # the last may have been killed before it said so
        assert await store.drop_parts("writer") in (last, last + 1)


async def test_file_of_a_newer_program_is_refused(sqlite_path: Path) -> None:
    async with SqliteStore.open(sqlite_path):
        pass
    with closing(sqlite3.connect(sqlite_path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match=f"store format {SCHEMA_VERSION + 1}.*upgrade"):
        async with SqliteStore.open(sqlite_path):
            pass


async def test_file_that_is_no_store_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"something else entirely " * 100)
    with pytest.raises(Damaged, match=r"store\.db is no readable store"):
        async with SqliteStore.open(path):
            pass


async def test_place_that_cannot_hold_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"store\.db is not available: .*check the path"):
        async with SqliteStore.open(tmp_path / "file" / "store.db"):
            pass


async def test_file_that_another_process_keeps_locked_is_unavailable(sqlite_path: Path) -> None:
    async with SqliteStore.open(sqlite_path, wait_s=0.1) as store:
        with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="another process holds it"):
                await store.insert(Model(id="m"))
            with pytest.raises(StoreUnavailable, match="another process holds it"):
                await store.arrive("g", 0, "a", 1)
        assert await store.insert(Model(id="m")) is True
        assert (await store.arrive("g", 0, "a", 1)).values == ["a"]


async def test_full_disk_is_unavailable_and_leaves_the_store_usable(sqlite_path: Path) -> None:
    async with SqliteStore.open(sqlite_path) as store:
        await store._execute("PRAGMA max_page_count = 40")  # of 4 KiB: the disk's end
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await store.put_part(bytes(200_000), "me")
        digest = await store.put_part(b"small", "me")
        assert await store.get_part(digest) == b"small"
        assert await store.drop_parts("me") == 1


async def test_every_search_follows_its_own_index(sqlite_path: Path) -> None:
    plans: list[str] = []
    async with SqliteStore.open(sqlite_path) as store:
        execute = store._execute

        async def explain(statement: str, *values: object) -> list[tuple[object, ...]]:
            plan = await execute(f"EXPLAIN QUERY PLAN {statement}", *values)
            plans.append(" / ".join(str(step) for *_, step in plan))
            return []

        store._execute = explain  # type: ignore[method-assign]  # the statements are the store's own
        for kind in DOCUMENTS:
            for equal in [{}, *({field: "x"} for field in kind.indexes)]:
                await store.find(kind, **equal)  # type: ignore[arg-type]  # only names of indexes

    fields = [field for kind in DOCUMENTS for field in ("created", *kind.indexes)]
    expected = [f"SEARCH documents USING INDEX documents_by_{field} (" for field in fields]
    assert [plan.partition("(")[0] + "(" for plan in plans] == expected
    assert not any("TEMP B-TREE" in plan for plan in plans)
