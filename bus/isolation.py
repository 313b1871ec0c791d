"""What keeps a message that kills its receivers from taking its neighbours with it.

A process that dies loses all that it had fetched, and all of it is counted as lost once more. Worked on together and
always in the same order, the neighbours of the message that kills would reach the delivery limit with it. So what was
lost before is worked on one at a time and in random order: each time, a neighbour has an even chance to be done first.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PAUSE_S = 1.0
"""Longest pause before a redelivered message is worked on."""


class Isolation:
    """Of one subscription."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, redelivered: bool) -> AsyncIterator[None]:
        """Wait until this delivery may be worked on, and hold its turn meanwhile."""
        if not redelivered:
            yield
            return
        await asyncio.sleep(random.uniform(0, PAUSE_S))  # noqa: S311  not a secret
        async with self._one:
            yield
