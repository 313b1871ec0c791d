from datetime import UTC, datetime

from control.verbs import monitors
from schemas.documents import Monitor
from schemas.monitoring import Watch
from store.base import Store, change

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


async def alarmed(store: Store) -> Monitor:
    """Note an alarm whose job has not been asked for."""
    watch = Watch(
        version=1, alarms=1, doubt=1.0, armed=False, fired=NOON, asking="alarm 1 of digits@1"
    )
    return await change(
        store, Monitor, "digits", lambda known: known.model_copy(update={"watch": watch})
    )


async def test_an_alarm_that_has_not_gone_out_never_does_after_off(world: Store) -> None:
    policy = (await alarmed(world)).policy

    await monitors.off(world, "digits")
    again = await monitors.put(world, "digits", policy)

    assert again.watch is not None
    assert (again.state, again.watch.asking) == ("on", "")
    assert (again.watch.armed, again.watch.alarms, again.watch.fired) == (True, 1, None)


async def test_off_again_changes_nothing(world: Store) -> None:
    await alarmed(world)

    once = await monitors.off(world, "digits")

    assert await monitors.off(world, "digits") == once


async def test_what_a_monitor_has_seen_counts_after_off_and_on(world: Store) -> None:
    watch = Watch(version=1, alarms=3, doubt=0.4, armed=False)
    known = await change(
        world, Monitor, "digits", lambda known: known.model_copy(update={"watch": watch})
    )

    await monitors.off(world, "digits")

    assert (await monitors.put(world, "digits", known.policy)).watch == watch
