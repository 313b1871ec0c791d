"""What can be wrong with an installation, looked at one by one. Every check says what it found and what to do."""

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict

from bus.connect import connect
from bus.errors import BusError, Unroutable
from bus.seal import read_seal
from bus.transport import QueueStatus, Transport
from control.verbs.dead_letters import installed_queues
from control.verbs.errors import Refused
from schemas.flow import RehearsalRequested
from schemas.settings import Settings
from store.connect import open_store
from store.errors import StoreError

OLDEST_PYTHON = (3, 11)
PARTS = ("rdg-bus", "numpy", "pydantic", "aio-pika", "torch", "scikit-learn")
FAIL_BYTES = 1 << 30
WARN_BYTES = 5 << 30
PATIENCE_S = 5.0
START = "start `rdg up`, or `rdg worker` with its stages"


class Check(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


async def diagnose(settings: Settings) -> list[Check]:
    """Look at everything; a check that fails does not keep the others from being made."""
    return [
        python(),
        versions(),
        disk(settings.home),
        data(settings),
        *await _guarded("keys", keys, settings, "correct RDG_KEYS, or unset it"),
        *await _guarded("store", store, settings, "check RDG_STORE and that the server runs"),
        *await _guarded("bus", bus, settings, "start `rdg up`, or check RDG_BUS and the broker"),
    ]


def python() -> Check:
    """Check the interpreter."""
    found = sys.version.split()[0]
    if sys.version_info >= OLDEST_PYTHON:
        return Check(name="python", status="ok", found=found)
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return Check(name="python", status="fail", found=found, remedy=f"install {wanted} or later")


def versions() -> Check:
    """Check that what the server side needs is installed; a device does without."""
    installed, missing = [], []
    for name in PARTS:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    found = ", ".join(installed)
    if not missing:
        return Check(name="versions", status="ok", found=found)
    found = f"{found}; without {', '.join(missing)}"
    return Check(
        name="versions", status="warn", found=found, remedy="pip install 'rdg-bus[server]'"
    )


def disk(home: Path) -> Check:
    """Check the space where the embedded store grows."""
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / (1 << 30):.1f} GiB free at {there}"
    status: Literal["ok", "warn", "fail"] = (
        "fail" if free < FAIL_BYTES else "warn" if free < WARN_BYTES else "ok"
    )
    remedy = "" if status == "ok" else "make room, or choose another folder by RDG_HOME"
    return Check(name="disk", status=status, found=found, remedy=remedy)


def data(settings: Settings) -> Check:
    """Check the folder with the public data sets, if one is named."""
    folder = settings.data_dir
    if folder is None:
        found = f"not set: public sets are downloaded to {settings.home / 'downloads'}"
        return Check(name="data", status="ok", found=found)
    if not folder.is_dir():
        remedy = "correct or unset RDG_DATA_DIR"
        return Check(name="data", status="fail", found=f"no folder {folder}", remedy=remedy)
    names = ", ".join(sorted(child.name for child in folder.iterdir() if child.is_dir()))
    return Check(name="data", status="ok", found=f"{folder}: {names or 'empty'}")


async def keys(settings: Settings) -> list[Check]:
    """Check that the keys that seal message bodies can be read, if there are any."""
    seal = await asyncio.to_thread(read_seal, settings.keys, settings.sealing)
    found = "not set: message bodies are not sealed"
    if seal.keys:
        found = f"{', '.join(key.id for key in seal.keys)}; RDG_SEALING {seal.sealing}"
    return [Check(name="keys", status="ok", found=found)]


async def store(settings: Settings) -> list[Check]:
    """Check that the store answers."""
    async with open_store(settings.store_url, tls=settings.tls) as opened:
        begun = time.perf_counter()
        engine = await opened.ping()
    found = f"{engine} at {redacted(settings.store_url)}, {_ms_since(begun)}"
    return [Check(name="store", status="ok", found=found)]


async def bus(settings: Settings) -> list[Check]:
    """Check that the bus answers, that every queue is attended, and that there are no dead letters."""
    async with connect(settings.bus_url, settings.namespace, settings.tls) as transport:
        begun = time.perf_counter()
        queues = await _declared(transport)
    found = f"{redacted(settings.bus_url)}, {_ms_since(begun)}"
    return [Check(name="bus", status="ok", found=found), workers(queues), dead_letters(queues)]


def workers(queues: Mapping[str, QueueStatus]) -> Check:
    """Check that somebody takes from each queue. One where nothing waits may be unused: a generator's, say."""
    if not queues:
        found = "no queue takes jobs"
        return Check(name="workers", status="fail", found=found, remedy=START)
    consumers = sum(each.receivers for each in queues.values())
    unattended = {name: each.waiting for name, each in queues.items() if not each.receivers}
    if not unattended:
        found = f"{consumers} consumers of {len(queues)} queues"
        return Check(name="workers", status="ok", found=found)
    status: Literal["warn", "fail"] = (
        "fail" if any(unattended.values()) or not consumers else "warn"
    )
    waiting = ", ".join(f"{name} ({count} wait)" for name, count in unattended.items())
    return Check(name="workers", status=status, found=f"nobody attends {waiting}", remedy=START)


def dead_letters(queues: Mapping[str, QueueStatus]) -> Check:
    """Check that no message was given up."""
    dead = [f"{each.dead} of {name}" for name, each in queues.items() if each.dead]
    if not dead:
        return Check(name="dead letters", status="ok", found="none")
    remedy = "`rdg dlq list` shows why; `rdg dlq replay` tries again"
    return Check(name="dead letters", status="warn", found=", ".join(dead), remedy=remedy)


def redacted(url: str) -> str:
    """Return a URL without its password."""
    split = urlsplit(url)
    if split.password is None:
        return url
    host = split.netloc.rpartition("@")[2]
    return urlunsplit(split._replace(netloc=f"{split.username}:***@{host}"))


async def _guarded(
    name: str, check: Callable[[Settings], Awaitable[list[Check]]], settings: Settings, remedy: str
) -> list[Check]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await check(settings)
    except TimeoutError:
        found = f"no answer within {PATIENCE_S:g} s"
    except (BusError, StoreError, OSError) as error:
        found = str(error)
    return [Check(name=name, status="fail", found=found, remedy=remedy)]


async def _declared(transport: Transport) -> dict[str, QueueStatus]:
    """Return those queues of the pipeline that the bus has."""
    found = {}
    for queue in _known():
        with suppress(Unroutable):
            found[queue] = await transport.status(queue)
    return found


def _known() -> tuple[str, ...]:
    try:
        return installed_queues()
    except Refused:  # this machine only submits; what it needs is that somebody takes that
        return (f"planning.{RehearsalRequested.topic}",)


def _ms_since(begun: float) -> str:
    return f"{(time.perf_counter() - begun) * 1000:.1f} ms"
