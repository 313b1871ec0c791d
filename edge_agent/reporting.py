"""What a device says about itself. Only its newest report matters: an unsent one gives way to the next.

So counts are of all that was seen since the device began to count, not since its last report: none is lost or doubled.
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
    """Holds the newest report until a bus has taken it. Of one event loop."""

    def __init__(self, device: str, model: str) -> None:
        self._device = device
        self._model = model
        self._newest: deque[DeviceReported] = deque(maxlen=1)
        self._unsent = asyncio.Event()

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
        self._newest.append(report)
        self._unsent.set()

    def count(self, observed: Observed) -> None:
        """Say again what was said last, with these counts if they are new; a refusal stays one."""
        is_new = observed.answers > 0 and self._newest[-1].observed != observed
        if is_new:
            update = {"id": uuid4(), "at": datetime.now(UTC), "observed": observed}
            self._newest.append(self._newest[-1].model_copy(update=update))
            self._unsent.set()

    async def send(self, bus: Bus) -> None:
        """Send each report, trying again for ever; never ends, and no error of the bus ends it."""
        waits = pauses()
        while True:
            await self._unsent.wait()
            report = self._newest[-1]
            try:
                await bus.publish(report)
            except BusError as error:
                wait_s = next(waits)
                log.warning("report not sent, again in %.1f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                continue
            waits = pauses()
            if report is self._newest[-1]:
                self._unsent.clear()
