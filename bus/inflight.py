"""How many receivers run now, and waiting for them to finish."""

import asyncio
from types import TracebackType


class InFlight:
    """Counts what is inside `with`; `drained` waits until nothing is."""

    def __init__(self) -> None:
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def __enter__(self) -> None:
        self._count += 1
        self._empty.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1
        if self._count == 0:
            self._empty.set()

    async def drained(self, within_s: float) -> bool:
        """Wait until nothing runs; return False if something still does after `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
