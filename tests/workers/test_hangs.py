"""Work that hangs is ended, and takes at most its process along: in real ones, on a real broker."""

import asyncio
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from bus.bus import Bus
from bus.rabbit import RabbitTransport
from bus.transport import Transport
from schemas.flow import Progress, RehearsalRequested
from tests.bus.inbox import until, until_dead, until_depth
from tests.workers.hanging_process import PLANNING, TOPOLOGY
from workers.hangs import EXIT_STUCK, Threads

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
FAILING = """
import asyncio, sys, threading, typer
from bus.errors import BusUnavailable
from schemas.settings import Settings
from workers.cli import _errors_in_one_line, _run

error = eval(sys.argv.pop())

async def main(stop):
    stuck = asyncio.create_task(asyncio.to_thread(threading.Event().wait))
    await asyncio.to_thread(int)  # taken in order: the other is at work
    raise error

def command():
    with _errors_in_one_line():
        _run(main, Settings(), "info")

typer.run(command)
"""

AFTERWARDS = """
import asyncio, time
from workers.hangs import watched

async def main():
    async with watched(2, asyncio.Event()):
        await asyncio.sleep(0.1)

asyncio.run(main())
time.sleep(3)
print("still here")
"""


@pytest.fixture
async def transport(amqp_url: str, bus_prefix: str) -> AsyncIterator[Transport]:
    async with RabbitTransport.connect(amqp_url, bus_prefix) as opened:
        await opened.declare(TOPOLOGY)
        yield opened


@asynccontextmanager
async def worker(url: str, namespace: str, deadline_s: float = 10) -> AsyncIterator[Process]:
    """A process that is ready to work, killed at the end."""
    program = ("-m", "tests.workers.hanging_process", url, namespace, str(deadline_s))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await says(process, b"ready\n")
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def says(process: Process, line: bytes) -> None:
    assert process.stdout
    assert await process.stdout.readline() == line


async def ask(transport: Transport, *jobs: str) -> None:
    bus = Bus(transport, "test")
    for number, job in enumerate(jobs, 1):
        await bus.publish(RehearsalRequested(job=job, id=UUID(int=number)))


async def done(transport: Transport, job: str) -> None:
    """Wait until the job's message has been worked on."""
    async with (
        asyncio.timeout(PATIENCE_S),
        Bus(transport, "test").follow(Progress, since="first") as progress,
    ):
        async for news in progress:
            if news.job == job:
                return


@pytest.mark.rabbit
async def test_handler_that_waits_for_ever_is_a_dead_letter_and_its_process_goes_on(
    transport: Transport, amqp_url: str, bus_prefix: str
) -> None:
    async with worker(amqp_url, bus_prefix) as process:
        await ask(transport, "waits")
        (letter,) = await until_dead(transport, PLANNING, 1)
        await ask(transport, "fine")
        await done(transport, "fine")
        process.terminate()
        code = await process.wait()

    reason = "DeadlineExceeded: planning was not done by its deadline of 10 s (RDG_DEADLINE_S)"
    assert letter.headers["rdg-reason"] == reason
    assert code == 0


@pytest.mark.rabbit
async def test_process_with_a_stuck_thread_gives_its_message_up_and_exits(
    transport: Transport, amqp_url: str, bus_prefix: str
) -> None:
    async with worker(amqp_url, bus_prefix) as process:
        await ask(transport, "thread")
        _, errors = await process.communicate()

    (letter,) = await until_dead(transport, PLANNING, 1)
    assert "deadline of 10 s" in letter.headers["rdg-reason"]
    assert process.returncode == EXIT_STUCK
    assert "stuck_in_a_thread" in errors.decode()
    assert "cannot be ended" in errors.decode()


@pytest.mark.rabbit
async def test_stop_does_not_wait_for_a_thread_beyond_the_grace_time(
    transport: Transport, amqp_url: str, bus_prefix: str
) -> None:
    async with worker(amqp_url, bus_prefix, deadline_s=600) as process:
        await ask(transport, "thread")
        await says(process, b"begun\n")
        process.terminate()
        code = await process.wait()

    assert code == 0
    await until_depth(transport, PLANNING, 1)


@pytest.mark.rabbit
async def test_blocked_event_loop_ends_its_process_and_the_broker_buries_the_message(
    transport: Transport, amqp_url: str, bus_prefix: str
) -> None:
    async with (
        worker(amqp_url, bus_prefix, deadline_s=5) as one,
        worker(amqp_url, bus_prefix, deadline_s=5) as other,
    ):
        await ask(transport, "loop")
        said = [(await process.communicate())[1].decode() for process in (one, other)]

    (letter,) = await until_dead(transport, PLANNING, 1)
    assert letter.headers["rdg-reason"] == "delivery limit: its receivers were lost too often"
    assert [process.returncode for process in (one, other)] == [1, 1]
    assert ["in blocking_the_loop" in errors for errors in said] == [True, True]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("BusUnavailable('no broker')", 2, "error: no broker"),
        ("ValueError('no such stage')", 4, "error: no such stage"),
        ("RuntimeError('a bug')", 1, "RuntimeError: a bug"),
    ],
)
async def test_an_error_ends_the_process_without_waiting_for_its_threads(
    error: str, code: int, line: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FAILING, error, cwd=ROOT, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == code
    assert line in [each.strip() for each in said.decode().splitlines()]


async def test_a_process_is_not_ended_for_what_it_does_when_it_is_watched_no_more() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AFTERWARDS, cwd=ROOT, stdout=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert (process.returncode, said) == (0, b"still here\n")


async def test_threads_know_how_long_the_oldest_call_has_been_at_it() -> None:
    threads, release, has_begun = Threads(), threading.Event(), threading.Event()

    def begin_and_wait() -> bool:
        has_begun.set()
        return release.wait()

    assert threads.longest_s == 0
    with threads:
        begun = time.monotonic()
        waiting = threads.submit(release.wait)
        await until(lambda: threads.longest_s > 0.05)
        assert threads.longest_s <= time.monotonic() - begun
        younger = threads.submit(begin_and_wait)
        await until(has_begun.is_set)
        assert threads.longest_s > 0.05, "the younger one's"
        release.set()
        assert waiting.result() is younger.result() is True
        assert threads.submit(divmod, 7, 2).result() == (3, 1)
    assert threads.longest_s == 0
