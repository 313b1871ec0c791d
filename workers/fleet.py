"""Fleet: what devices say that they run, kept for people."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from bus.stage import Stage
from schemas.documents import Device
from schemas.flow import DeviceReported
from schemas.message import Message
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
    return device.model_copy(update={"revision": known.revision, "created": known.created})
