"""What devices say, kept for people: the latest word of each, however the words arrive."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from schemas.documents import MAX_RUNS, Device
from schemas.flow import DeviceReported
from schemas.monitoring import Observed
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


def observed(answers: int, hour: int = 12, right: int = 0) -> Observed:
    since = datetime(2025, 1, 1, hour, tzinfo=UTC)
    return Observed(since=since, confidence=(answers,), correct=right)


async def counted(store: Store) -> int | None:
    counts = (await store.get(Device, "pump-1")).counted
    return counts.answers if counts else None


async def test_counts_of_one_run_replace_each_other_however_often_they_come(
    store: Store, resources: Resources
) -> None:
    for minute, answers in ((1, 10), (2, 25), (2, 25), (1, 10)):
        await sent(stage(resources), reported(minute, 7, observed=observed(answers)))

    assert await counted(store) == 25


async def test_counts_of_a_device_that_began_anew_add_up(
    store: Store, resources: Resources
) -> None:
    for minute, hour, answers in ((1, 12, 10), (2, 13, 3), (3, 13, 4), (4, 14, 1), (4, 14, 1)):
        await sent(stage(resources), reported(minute, 7, observed=observed(answers, hour)))

    assert await counted(store) == 10 + 4 + 1


async def test_a_report_without_counts_takes_none_away(store: Store, resources: Resources) -> None:
    await sent(stage(resources), reported(1, 7, observed=observed(10)))
    await sent(stage(resources), reported(2, 7, state="refused"))
    assert await counted(store) == 10

    await sent(stage(resources), reported(3, 7, observed=observed(12)))

    assert await counted(store) == 12


async def test_another_version_is_counted_anew(store: Store, resources: Resources) -> None:
    await sent(stage(resources), reported(1, 7, observed=observed(10)))
    await sent(stage(resources), reported(2, 8))
    assert await counted(store) is None

    await sent(stage(resources), reported(3, 8, observed=observed(2, 13)))

    assert await counted(store) == 2


async def test_two_agents_of_one_name_count_nothing_twice_and_are_told_of_once(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = stage(resources)
    for minute in range(1, 9):
        mine = observed(10 * minute, hour=12 + minute % 2)
        await sent(fleet, reported(minute, 7, observed=mine))

    assert await counted(store) == 10 + 80  # of the first what it had when the second began
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("two agents call themselves pump-1")


async def test_a_device_that_begins_anew_is_nobody_else(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = stage(resources)
    for minute, hour in ((1, 12), (2, 12), (3, 14), (3, 14), (2, 12), (4, 13)):
        await sent(fleet, reported(minute, 7, observed=observed(10, hour)))

    assert await counted(store) == 30  # a clock may be set back
    assert caplog.records == []


async def test_of_many_runs_the_newest_are_known(store: Store, resources: Resources) -> None:
    for second in range(MAX_RUNS + 5):
        run = observed(1).model_copy(update={"since": NOON + timedelta(seconds=second)})
        await sent(stage(resources), reported(second + 1, 7, observed=run))

    device = await store.get(Device, "pump-1")
    assert await counted(store) == MAX_RUNS + 5
    assert device.runs[-1] == NOON + timedelta(seconds=MAX_RUNS + 3)
    assert len(device.runs) == MAX_RUNS
