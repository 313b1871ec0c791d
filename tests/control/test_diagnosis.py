import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bus.local import serve
from bus.memory import MemoryTransport
from control import diagnosis
from control.diagnosis import diagnose, disk, redacted
from schemas.settings import Settings
from tests.control.world import QUEUES


async def statuses(settings: Settings) -> dict[str, str]:
    return {check.name: check.status for check in await diagnose(settings)}


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")  # short: a socket's path may not be long


async def test_a_running_system_is_well(home: Path) -> None:
    transport = MemoryTransport()
    await transport.declare(QUEUES)
    async with serve(transport, home / "bus.sock"):
        found = await statuses(Settings(home=home))
    assert {name: found[name] for name in ("store", "bus", "workers")} == {
        "store": "ok",
        "bus": "ok",
        "workers": "ok",
    }


async def test_a_bus_without_workers_is_not(home: Path) -> None:
    async with serve(MemoryTransport(), home / "bus.sock"):
        found = await statuses(Settings(home=home))
    assert (found["bus"], found["workers"]) == ("ok", "fail")


async def test_what_cannot_be_reached_fails_alone_and_says_what_to_do(home: Path) -> None:
    (home / "store.db").mkdir()
    checks = {check.name: check for check in await diagnose(Settings(home=home))}
    for name in ("store", "bus"):
        assert checks[name].status == "fail"
        assert checks[name].remedy
    assert checks["python"].status == "ok"


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
