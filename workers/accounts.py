"""What is kept of every delivery: the costs of its job, the end of a job whose message was buried, the metrics.

Which job that is, the message says, and not its headers: whoever may publish anything, a device for example, may name
any job there. A message of a job that could not be read is left to the watchdog, who knows in which queues the job is.
"""

import logging
from collections.abc import Awaitable, Callable

from bus.bus import Bus
from bus.stage import Settlement
from schemas.documents import Job
from schemas.message import JobMessage
from store.base import Store
from store.errors import NotFound
from workers.metrics import Metrics
from workers.resources import fail

log = logging.getLogger("rdg.worker")


def accounting(bus: Bus, store: Store, metrics: Metrics) -> Callable[[Settlement], Awaitable[None]]:
    """Return what is told of every delivery: its job first, which may fail and be told again, then the metrics."""

    async def observe(settlement: Settlement) -> None:
        await _charge(bus, store, settlement)
        metrics.settled(settlement)

    return observe


async def _charge(bus: Bus, store: Store, settlement: Settlement) -> None:
    """Keep a job's costs, and fail the job whose message was buried."""
    message = settlement.message
    if not isinstance(message, JobMessage) or settlement.outcome not in ("done", "buried"):
        return
    await store.tally(
        message.job,
        {
            f"{settlement.stage}.messages": 1,
            f"{settlement.stage}.seconds": settlement.seconds,
            f"{settlement.stage}.bytes_in": settlement.bytes_in,
            f"{settlement.stage}.bytes_out": settlement.bytes_out,
        },
    )
    if settlement.outcome == "buried":
        log.error("%s gave up on job %s: %s", settlement.stage, message.job, settlement.reason)
        await _fail(bus, store, message, settlement)


async def _fail(bus: Bus, store: Store, message: JobMessage, settlement: Settlement) -> None:
    try:
        job = await store.get(Job, message.job)
    except NotFound:
        return
    if job.run != message.run:
        return  # of an earlier attempt
    await fail(store, bus, job, settlement.stage, f"{settlement.stage}: {settlement.reason}")
