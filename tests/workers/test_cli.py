"""How a worker's process starts and ends: one line for what is wrong, and exit codes that mean something."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.local import serve
from bus.memory import MemoryTransport

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60

WORKER = ("-m", "workers")
STUBBORN = (
    "-c",
    """
import asyncio, logging
from schemas.settings import Settings
from workers.cli import _run

async def main(stop):
    logging.info("ready:")
    await stop.wait()
    logging.info("stopping")
    await asyncio.Event().wait()

_run(main, Settings(), "info")
""",
)


@asynccontextmanager
async def started(home: Path, *arguments: str, **environment: str) -> AsyncIterator[Process]:
    """A process of its own, killed at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RDG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stderr=PIPE,
        env={**inherited, "RDG_HOME": str(home), **environment},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def says(process: Process, words: str) -> None:
    """Wait until the process says this."""
    assert process.stderr
    heard = b""
    while words.encode() not in heard:
        line = await process.stderr.readline()
        assert line, f"it ended after:\n{heard.decode()}"
        heard += line


async def ended(home: Path, *arguments: str, **environment: str) -> tuple[int | None, list[str]]:
    """Its exit code, and what it said."""
    async with started(home, *arguments, **environment) as process:
        _, error = await process.communicate()
    return process.returncode, error.decode().splitlines()


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "problem"),
    [
        (["nonsense"], {}, 4, "stage 'nonsense' is unknown; there are planning, fitting,"),
        (["generation.gnn"], {}, 4, "'generation.gnn': generation has generation.original,"),
        (["fleet", "--log-level", "loud"], {}, 4, "Unknown level: 'LOUD'"),
        (["fleet"], {"RDG_GRACE_S": "soon"}, 4, "RDG_GRACE_S: Input should be a valid number"),
        (["fleet"], {"RDG_HEALTH": "0.0.0.0:0"}, 4, "RDG_HEALTH: 0.0.0.0:0 is open to other"),
        (["fleet"], {"RDG_HEALTH": "9400"}, 4, "RDG_HEALTH: '9400' is not host:port"),
        (["fleet"], {"RDG_HEALTH_TOKEN": "short"}, 4, "RDG_HEALTH_TOKEN: "),
        (["fleet", "--bus", "http://host"], {}, 2, "RDG_BUS: http scheme; use amqp://"),
        (["fleet", "--store", "redis://host"], {}, 2, "RDG_STORE: redis scheme; use mongodb://"),
        (["fleet", "--store", "sqlite:///proc/no/store.db"], {}, 2, "/proc/no/store.db"),
    ],
)
async def test_what_is_wrong_is_one_line_and_an_exit_code(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, problem: str
) -> None:
    exit_code, said = await ended(tmp_path, *WORKER, *arguments, **environment)

    assert exit_code == code, said
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert problem in said[0]


async def test_the_command_and_the_module_say_the_same(tmp_path: Path) -> None:
    module = await ended(tmp_path, *WORKER, "nonsense")

    command = await ended(tmp_path, "-m", "control.cli", "worker", "nonsense")

    assert command == module


async def test_a_secret_is_not_shown_with_the_error(tmp_path: Path) -> None:
    url = "amqp://rdg:hunter2@host"

    _, said = await ended(tmp_path, *WORKER, "fleet", "--bus", url, RDG_GRACE_S="soon")

    assert len(said) == 1
    assert "hunter2" not in said[0]


async def test_sigterm_ends_a_worker_with_success(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"

    async with (
        serve(MemoryTransport(), path),
        started(tmp_path, *WORKER, "fleet", RDG_BUS=f"unix://{path}") as process,
    ):
        await says(process, "ready: fleet")
        process.send_signal(signal.SIGTERM)
        await says(process, "stopping")
        code = await process.wait()

    assert code == 0


async def test_sigterm_ends_a_worker_that_waits_for_its_bus(tmp_path: Path) -> None:
    async with started(tmp_path, *WORKER, "fleet") as process:
        await says(process, "trying again")
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_process_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with started(tmp_path, *STUBBORN) as process:
        await says(process, "ready:")
        process.send_signal(number)
        await says(process, "stopping")
        process.send_signal(number)
        code = await process.wait()

    assert code == -number


async def test_the_whole_system_runs_in_one_process(tmp_path: Path) -> None:
    async with started(tmp_path, "-m", "control.cli", "up") as process:
        await says(process, f"ready: all stages, bus at {tmp_path / 'bus.sock'}")
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert code == 0
