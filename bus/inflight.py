"""The receivers that run now: counting, awaiting and ending them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any


class InFlight:
    """Keeps the tasks that are inside `with`: at most `most` at a time.

    `may_settle` is cleared while settlements are held back, so that the count does not fall.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: list[asyncio.Task[Any] | None] = []
        self._empty = asyncio.Event()
        self._full = asyncio.Event()
        self.may_settle = asyncio.Event()
        self._empty.set()
        self.may_settle.set()

    def __enter__(self) -> None:
        self._running.append(asyncio.current_task())
        self._empty.clear()
        if len(self._running) >= self._most:
            self._full.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.remove(asyncio.current_task())
        self._full.clear()
        if not self._running:
            self._empty.set()

    @asynccontextmanager
    async def held(self, within_s: float) -> AsyncIterator[None]:
        """Hold settlements back while the context is open, which begins once it is full or after `within_s`."""
        self.may_settle.clear()
        try:
            await waited(self._full, within_s)
            yield
        finally:
            self.may_settle.set()

    async def drained(self, within_s: float) -> bool:
        """Wait until nothing runs, and cancel what still does after `within_s`; return whether there was none."""
        if await waited(self._empty, within_s):
            return True
        for task in filter(None, self._running):
            task.cancel()
        return False


async def waited(event: asyncio.Event, within_s: float) -> bool:
    """Return whether the event is set within that time, in seconds."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
