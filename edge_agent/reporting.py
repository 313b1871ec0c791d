"""What a device says about itself. Its newest report matters, and the last counts of the version before.

Any other report that is unsent gives way to the next. So counts are of all that was seen since the device began to
count, not since its last report: one that is lost or repeated changes nothing. What was counted since the last report
that a bus took is lost with the process, if that is killed.
"""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from bus.bus import Bus
from bus.errors import BusError
from edge_agent.backoff import pauses
from schemas.flow import DeviceReported
from schemas.model import Manifest
from schemas.monitoring import Observed

log = logging.getLogger("rdg.agent")


class Reporter:
    """Holds reports until a bus has taken them. Of one event loop."""

    def __init__(self, device: str, model: str) -> None:
        self._device = device
        self._model = model
        self._newest: DeviceReported | None = None
        self._unsent: deque[DeviceReported] = deque(maxlen=2)
        self._waiting = asyncio.Event()

    def report(
        self, state: Literal["running", "refused"], running: Manifest | None, reason: str = ""
    ) -> None:
        """Say what runs now, and why a release does not; returns at once."""
        report = DeviceReported(
            id=uuid4(),  # of the report, not of a try to send it: a repeat is known as one
            device=self._device,
            model=self._model,
            version=running.version if running else None,
            state=state,
            reason=reason,
            at=datetime.now(UTC),
        )
        self._say(report)

    def count(self, observed: Observed) -> None:
        """Say again what was said last, with these counts if they are new; a refusal stays one."""
        last = self._newest
        if last and observed.answers > 0 and last.observed != observed:
            update = {"id": uuid4(), "at": datetime.now(UTC), "observed": observed}
            self._say(last.model_copy(update=update))

    async def send(self, bus: Bus) -> None:
        """Send each report, trying again for ever; never ends, and no error of the bus ends it."""
        waits = pauses()
        while True:
            await self._waiting.wait()
            report = self._unsent[0]
            try:
                await bus.publish(report)
            except BusError as error:
                wait_s = next(waits)
                log.warning("report not sent, again in %.1f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                continue
            waits = pauses()
            self._sent(report)

    async def flush(self, bus: Bus, within_s: float) -> None:
        """Send what is unsent, if that can be done within so many seconds; `send` is over by then."""
        try:
            async with asyncio.timeout(within_s):
                while self._unsent:
                    report = self._unsent[0]
                    await bus.publish(report)
                    self._sent(report)
        except (BusError, TimeoutError) as error:
            why = str(error) or f"no answer within {within_s:g} s"
            log.warning("the last report was not sent: %s", why)

    def _say(self, report: DeviceReported) -> None:
        last = self._unsent[-1] if self._unsent else None
        if last and (last.observed is None or last.version == report.version):
            self._unsent.pop()
        self._unsent.append(report)
        self._newest = report
        self._waiting.set()

    def _sent(self, report: DeviceReported) -> None:
        if self._unsent[0] is report:  # else it gave way to another meanwhile
            self._unsent.popleft()
        if not self._unsent:
            self._waiting.clear()
