"""Fleet: what devices say that they run and have counted, kept for people and for workers/monitor.py."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from bus.stage import Stage
from schemas.documents import MAX_RUNS, Device
from schemas.flow import DeviceReported
from schemas.message import Message
from store.base import change
from workers.resources import Resources

log = logging.getLogger("rdg.fleet")


def stage(resources: Resources) -> Stage[DeviceReported, Message]:
    """Return the fleet stage."""
    shared: set[str] = set()  # names that were warned of: once is enough

    async def handle(message: DeviceReported) -> AsyncIterator[Message]:
        device = Device(
            id=message.device,
            model=message.model,
            version=message.version,
            state=message.state,
            reason=message.reason,
            reported=min(
                message.at, datetime.now(UTC)
            ),  # a clock that is ahead must not hide what follows
            observed=message.observed,
        )
        if not await resources.store.insert(device):
            known = await change(resources.store, Device, device.id, lambda it: _newer(it, device))
            if _is_shared(known, device) and device.id not in shared:
                shared.add(device.id)
                log.warning(
                    "two agents call themselves %s, and one is not counted: give each its own --device",
                    device.id,
                )
        return
        yield

    return Stage("fleet", consumes=(DeviceReported,), produces=(), handle=handle)


def _newer(known: Device, device: Device) -> Device:
    """Return the later of two reports: they may arrive twice and in any order."""
    if device.reported <= known.reported:
        return known
    own = {"revision": known.revision, "created": known.created}
    return _counted(known, device.model_copy(update=own))


def _counted(known: Device, device: Device) -> Device:
    """Return the device with what it has counted by now: of a version anew, of a run on top of those before."""
    observed, before = device.observed, known.observed
    if (device.model, device.version) != (known.model, known.version):
        return device
    counts = {"observed": observed, "earlier": known.earlier, "runs": known.runs}
    if observed is None or observed.since in known.runs:
        counts["observed"] = before
    elif before and before.since != observed.since:
        runs = (*known.runs, before.since)[-MAX_RUNS:]
        counts = {"observed": observed, "earlier": known.counted, "runs": runs}
    return device.model_copy(update=counts)


def _is_shared(known: Device, device: Device) -> bool:
    """Return whether the newest report goes on with a run that another has followed: no device does both."""
    is_newest = known.reported == device.reported
    return is_newest and device.observed is not None and device.observed.since in known.runs
