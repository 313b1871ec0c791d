"""What is kept of every delivery: the costs of its job, the end of a job whose message was buried, the metrics."""

import logging
from collections.abc import Awaitable, Callable

from bus.bus import Bus
from bus.stage import Settlement
from schemas.documents import Job
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
    job = settlement.run.rpartition(".")[0]
    if not job or settlement.outcome not in ("done", "buried"):
        return
    await store.tally(
        job,
        {
            f"{settlement.stage}.messages": 1,
            f"{settlement.stage}.seconds": settlement.seconds,
            f"{settlement.stage}.bytes_in": settlement.bytes_in,
            f"{settlement.stage}.bytes_out": settlement.bytes_out,
        },
    )
    if settlement.outcome == "buried":
        log.error("%s gave up on job %s: %s", settlement.stage, job, settlement.reason)
        await _fail(bus, store, settlement)


async def _fail(bus: Bus, store: Store, settlement: Settlement) -> None:
    try:
        job = await store.get(Job, settlement.run.rpartition(".")[0])
    except NotFound:
        return
    if job.run != settlement.run:
        return  # of an earlier attempt
    await fail(store, bus, job, settlement.stage, f"{settlement.stage}: {settlement.reason}")
