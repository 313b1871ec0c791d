import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from bus.keyring import create
from bus.local import serve
from bus.memory import MemoryTransport
from bus.transport import Delivery, QueueStatus
from control import diagnosis
from control.diagnosis import diagnose, disk, redacted
from control.verbs.errors import Refused
from schemas.settings import Settings
from tests.control.world import QUEUES, REQUESTS


async def statuses(settings: Settings) -> dict[str, str]:
    return {check.name: check.status for check in await diagnose(settings)}


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")  # short: a socket's path may not be long


async def nothing(_: Delivery) -> None:
    return None


async def test_a_running_system_is_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(queue.name for queue in QUEUES.queues)
    monkeypatch.setattr(diagnosis, "installed_queues", lambda: names)
    transport = MemoryTransport()
    await transport.declare(QUEUES)
    async with AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(transport.receive(name, nothing, 1, 1))
        await stack.enter_async_context(serve(transport, home / "bus.sock"))
        checks = {check.name: check for check in await diagnose(Settings(home=home))}
    assert checks["workers"].found == "2 consumers of 2 queues"
    assert {checks[name].status for name in ("store", "bus", "workers", "dead letters")} == {"ok"}


async def test_a_bus_without_workers_is_not(home: Path) -> None:
    async with serve(MemoryTransport(), home / "bus.sock"):
        found = await statuses(Settings(home=home))
    assert (found["bus"], found["workers"]) == ("ok", "fail")


async def test_where_no_pipeline_is_installed_somebody_must_take_jobs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        raise Refused("no pipeline is installed here", "")

    monkeypatch.setattr(diagnosis, "installed_queues", refuse)
    transport = MemoryTransport()
    await transport.declare(QUEUES)
    async with serve(transport, home / "bus.sock"):
        alone = await statuses(Settings(home=home))
        async with transport.receive(REQUESTS, nothing, 1, 1):
            attended = await statuses(Settings(home=home))
    assert (alone["workers"], attended["workers"]) == ("fail", "ok")


@pytest.mark.parametrize(
    ("attended", "unattended", "status", "found"),
    [
        (QueueStatus(5, 2, 0), QueueStatus(5, 1, 0), "ok", "3 consumers of 2 queues"),
        (QueueStatus(5, 2, 0), QueueStatus(0, 0, 0), "warn", "nobody attends b (0 wait)"),
        (QueueStatus(5, 2, 0), QueueStatus(7, 0, 0), "fail", "nobody attends b (7 wait)"),
        (
            QueueStatus(0, 0, 0),
            QueueStatus(0, 0, 0),
            "fail",
            "nobody attends a (0 wait), b (0 wait)",
        ),
    ],
)
def test_messages_that_nobody_takes_are_found(
    attended: QueueStatus, unattended: QueueStatus, status: str, found: str
) -> None:
    check = diagnosis.workers({"a": attended, "b": unattended})
    assert (check.status, check.found) == (status, found)
    assert bool(check.remedy) == (status != "ok")


def test_dead_letters_are_found_with_their_queue() -> None:
    check = diagnosis.dead_letters({"a": QueueStatus(0, 1, 2), "b": QueueStatus(0, 1, 0)})
    assert (check.status, check.found) == ("warn", "2 of a")
    assert "rdg dlq list" in check.remedy


async def test_what_cannot_be_reached_fails_alone_and_says_what_to_do(home: Path) -> None:
    (home / "store.db").mkdir()
    checks = {check.name: check for check in await diagnose(Settings(home=home))}
    for name in ("store", "bus"):
        assert checks[name].status == "fail"
        assert checks[name].remedy
    assert checks["python"].status == "ok"


async def test_keys_are_named_and_those_that_cannot_be_read_fail(home: Path) -> None:
    key = create(home / "fleet.keys")
    without, good, bad = [
        {check.name: check for check in await diagnose(Settings(home=home, keys=path))}["keys"]
        for path in (None, home / "fleet.keys", home / "none.keys")
    ]
    assert [check.status for check in (without, good, bad)] == ["ok", "ok", "fail"]
    assert "not sealed" in without.found
    assert good.found == f"{key.id}; RDG_SEALING require"
    assert bad.found.startswith("RDG_KEYS: ")


async def test_a_data_folder_that_is_not_there_fails(home: Path) -> None:
    found = await statuses(Settings(home=home, data_dir=home / "nope"))
    assert found["data"] == "fail"


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 40, "ok"), (2 << 30, "warn"), (1 << 20, "fail")]
)
def test_a_full_disk_is_noticed_before_it_is_full(
    monkeypatch: pytest.MonkeyPatch, home: Path, free: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    check = disk(home / "not" / "made" / "yet")
    assert check.status == status
    assert bool(check.remedy) == (status != "ok")


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "OLDEST_PYTHON", (99, 0))
    assert diagnosis.python().status == "fail"


def test_passwords_are_not_shown() -> None:
    assert redacted("amqp://ada:secret@host:5672/x") == "amqp://ada:***@host:5672/x"
    assert redacted("sqlite:///a/b.db") == "sqlite:///a/b.db"
