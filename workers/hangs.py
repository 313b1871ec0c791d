"""What ends a process in which something hangs that no deadline can end.

A handler that waits is cancelled at its deadline (bus/desk.py). Two kinds do not wait, and there the process must go:

- **It blocks the event loop.** Nothing runs then, so nothing can be handed back. A timer outside of the interpreter,
  which needs neither the loop nor its lock, prints where every thread stands and exits with 1. The broker delivers
  what was in hand to others, and buries what takes too many processes down.
- **It is stuck in a thread.** Its message has been retried elsewhere, but the thread cannot be ended: it holds a place
  in the pool, and maybe a lock. So the process takes no more, works off what it has, and exits with EXIT_STUCK.

Both leave a restart to the supervisor. A thread is never waited for at the end, not even after an error: who needed
its result has given up.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from bus.tasks import tasks

P = ParamSpec("P")
R = TypeVar("R")

EXIT_STUCK = 70  # an error inside of the program: EX_SOFTWARE of sysexits.h
BEAT_S = 1.0
LEAVE_S = 1.0  # how long threads without work may take to end
NAME = "rdg-call"
THREADS = 32  # most of them wait: more than there can be slices, which hold one each, at any number of cores

log = logging.getLogger("rdg.worker")


class Threads(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`, which know how long they have been at it."""

    def __init__(self) -> None:
        super().__init__(THREADS, thread_name_prefix=NAME)
        self._began: dict[object, float] = {}

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run it in a thread, and note when that begins and ends."""
        return super().submit(self._noted, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more and begin nothing more. Never wait: the end of an event loop would, for as long as it takes."""
        super().shutdown(wait=False, cancel_futures=True)

    def _noted(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = object()
        self._began[call] = time.monotonic()
        try:
            return fn(*args, **kwargs)
        finally:
            del self._began[call]

    @property
    def longest_s(self) -> float:
        """For how long the oldest call has been running; 0 if none is."""
        now = time.monotonic()
        return max((now - began for began in tuple(self._began.values())), default=0.0)


@asynccontextmanager
async def watched(deadline_s: float, stop: asyncio.Event) -> AsyncIterator[None]:
    """Watch this process while the context is open, and end the process with it if a thread still runs.

    Args:
        deadline_s: How long the event loop may be blocked, and a thread may work.
        stop: Set when a thread is stuck: take no more, work off what is there, and leave the context.

    """
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    stuck = asyncio.Event()
    try:
        async with tasks() as group:
            group.create_task(_guard_loop(deadline_s), name="guard the event loop")
            group.create_task(_guard_threads(threads, deadline_s, stuck, stop))
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    if stuck.is_set():
        _exit(EXIT_STUCK)
    if threads.longest_s:
        _exit(0)


async def _guard_loop(deadline_s: float) -> None:
    while True:
        faulthandler.dump_traceback_later(deadline_s, exit=True)
        await asyncio.sleep(min(BEAT_S, deadline_s / 4))


async def _guard_threads(
    threads: Threads, deadline_s: float, stuck: asyncio.Event, stop: asyncio.Event
) -> None:
    while threads.longest_s <= deadline_s:  # noqa: ASYNC110  no event tells of what does not happen
        await asyncio.sleep(min(BEAT_S, deadline_s / 4))
    faulthandler.dump_traceback()
    log.error(
        "a thread has worked for more than %g s (RDG_DEADLINE_S) and cannot be ended: see where every thread is above;"
        " this process takes no more and exits with %d, for its supervisor to start another",
        deadline_s,
        EXIT_STUCK,
    )
    stuck.set()
    stop.set()


def leave(code: int, unforeseen: Exception | None = None) -> None:
    """End the process with this code if a thread still works; the interpreter would wait for it. Else return.

    Args:
        code: For who started the process.
        unforeseen: An error that nobody has reported yet; goes to the log before the process ends.

    """
    until = time.monotonic() + LEAVE_S
    working = [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]
    for thread in working:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in working):
        if unforeseen:
            log.error("this process ends", exc_info=unforeseen)
        _exit(code)


def _exit(code: int) -> None:
    """End the process without waiting for its threads, as the interpreter would."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
