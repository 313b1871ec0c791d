"""What devices say, kept for people: the latest word of each, however the words arrive."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from schemas.documents import Device
from schemas.flow import DeviceReported
from store.base import Store
from tests.workers.scene import sent
from workers.fleet import stage
from workers.resources import Resources

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def reported(minute: int, version: int | None = None, **fields: object) -> DeviceReported:
    return DeviceReported.model_validate(
        {
            "device": "pump-1",
            "model": "m",
            "version": version or minute,
            "state": "running",
            "at": NOON + timedelta(minutes=minute),
            **fields,
        }
    )


async def test_a_first_report_makes_the_device_known(store: Store, resources: Resources) -> None:
    refusal = reported(1, state="refused", reason="digest does not match")

    assert await sent(stage(resources), refusal) == []

    device = await store.get(Device, "pump-1")
    assert (device.model, device.version, device.state) == ("m", 1, "refused")
    assert device.reason == "digest does not match"


async def test_the_latest_report_stays_whatever_the_order(
    store: Store, resources: Resources
) -> None:
    for arrival in permutations((1, 2, 3)):
        for minute in (*arrival, *arrival):
            await sent(stage(resources), reported(minute))

        assert (await store.get(Device, "pump-1")).version == 3
        await store.delete(Device, "pump-1")


async def test_a_report_of_the_same_moment_changes_nothing(
    store: Store, resources: Resources
) -> None:
    await sent(stage(resources), reported(1, version=5))
    before = await store.get(Device, "pump-1")

    await sent(stage(resources), reported(1, version=6))

    assert await store.get(Device, "pump-1") == before


async def test_a_device_is_known_since_its_first_report(store: Store, resources: Resources) -> None:
    await sent(stage(resources), reported(1))
    since = (await store.get(Device, "pump-1")).created

    await sent(stage(resources), reported(2))

    assert (await store.get(Device, "pump-1")).created == since


async def test_a_clock_that_is_ahead_does_not_hide_what_follows(
    store: Store, resources: Resources
) -> None:
    now = datetime.now(UTC)
    await sent(stage(resources), reported(1, at=now + timedelta(days=365)))

    await sent(stage(resources), reported(2, at=datetime.now(UTC) + timedelta(seconds=1)))

    assert (await store.get(Device, "pump-1")).version == 2
