"""One reader's way through a log on RabbitMQ: a stream, taken up again after each loss where it was left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiormq.abc import DeliveredMessage, FieldTable

from bus.rabbit_envelope import envelope_of, headers_of
from bus.rabbit_link import LOST
from bus.transport import Envelope, Since

_OFFSETS = {"first": "first", "newest": "last", "next": "next"}


@dataclass
class Reading:
    """One reader's place in a log."""

    key: str
    since: Since
    has_begun: bool = False

    def __post_init__(self) -> None:
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self._next_offset: int | None = None
        self._since = datetime.now(UTC)

    async def take(self, message: DeliveredMessage) -> None:
        """Receive an entry."""
        self._arrived.put_nowait(message)

    def arguments(self) -> FieldTable:
        """Return where to start: after the last entry seen, or as asked for.

        A reader of what comes next that saw nothing before it lost the connection has no offset: it
        goes by the time it began, which the broker knows to the second.
        """
        if self._next_offset is not None:
            return {"x-stream-offset": self._next_offset}
        if self.has_begun and self.since == "next":
            return {"x-stream-offset": self._since}
        return {"x-stream-offset": _OFFSETS[self.since]}

    async def entries(self) -> AsyncIterator[Envelope]:
        """Yield what was received, each once, for ever."""
        while True:
            message = await self._arrived.get()
            offset = int(str(headers_of(message)["x-stream-offset"]))
            if offset >= (self._next_offset or 0):  # else seen before the connection was lost
                self._next_offset = offset + 1
                yield envelope_of(message, self.key)
            with suppress(*LOST):
                await message.channel.basic_ack(message.delivery_tag or 0, wait=False)
