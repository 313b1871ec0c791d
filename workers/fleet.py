"""Fleet: what devices say that they run and have counted, kept for people and for workers/monitor.py."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from bus.stage import Stage
from schemas.documents import Device
from schemas.flow import DeviceReported
from schemas.message import Message
from schemas.monitoring import Observed
from store.base import change
from workers.resources import Resources


def stage(resources: Resources) -> Stage[DeviceReported, Message]:
    """Return the fleet stage."""

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
            await change(resources.store, Device, device.id, lambda known: _newer(known, device))
        return
        yield

    return Stage("fleet", consumes=(DeviceReported,), produces=(), handle=handle)


def _newer(known: Device, device: Device) -> Device:
    """Return the later of two reports: they may arrive twice and in any order."""
    if device.reported <= known.reported:
        return known
    own = {"revision": known.revision, "created": known.created}
    return device.model_copy(update={**own, **_counts(known, device)})


def _counts(known: Device, device: Device) -> dict[str, Observed | None]:
    """Return what the device has counted by now: of a version anew, of a run of the device on top of those before."""
    observed, before = device.observed, known.observed
    if (device.model, device.version) != (known.model, known.version):
        return {"observed": observed, "earlier": None}
    if observed is None:
        return {"observed": before, "earlier": known.earlier}
    if before is None or before.since == observed.since:
        return {"observed": observed, "earlier": known.earlier}
    return {"observed": observed, "earlier": known.counted}
