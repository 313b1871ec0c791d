"""A message that can be put nowhere is held until it can, and left to the broker if that takes too long."""

import asyncio

import pytest

from bus import handover
from bus.errors import BusUnavailable, Busy, DeliveryLost, Retry
from tests.bus.desk import PLANNING, Desk, StoreAway, failing
from tests.bus.inbox import Watched, until, until_dead


@pytest.mark.parametrize("refusal", [Busy("no room"), BusUnavailable("not confirmed")])
@pytest.mark.parametrize(
    ("error", "means"),
    [
        (StoreAway("no answer"), "postpone"),
        (Retry("not yet"), "retry"),
        (ZeroDivisionError("by nought"), "bury"),
    ],
)
async def test_message_that_can_be_put_nowhere_is_held_until_it_can(
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception,
    error: Exception,
    means: str,
) -> None:
    monkeypatch.setattr(handover, "FIRST_PAUSE_S", 0.001)
    watched.to_refuse = [refusal] * 3
    desk = Desk(watched)
    handle, calls = failing(error)
    async with desk.working(handle):
        await desk.request()
        await until(lambda: watched.events.count(means) == 4)
        assert len(calls) == 1
        await until_done(desk, buried=means == "bury")
    assert not any(settlement.redelivered for settlement in desk.observed)


async def until_done(desk: Desk, *, buried: bool) -> None:
    if buried:
        await until_dead(desk.transport, PLANNING, 1)
    else:
        await desk.outputs.holds(1)


async def test_message_that_cannot_even_be_postponed_is_left_to_the_broker(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handover, "HOLD_S", 0.0)
    watched.to_refuse = [Busy("no room")]
    desk = Desk(watched)
    handle, calls = failing(BusUnavailable("gone"), BusUnavailable("gone"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
        await until(lambda: "ack" in watched.events)
    assert watched.events == ["postpone", "postpone", "ack"]
    assert [settlement.redelivered for settlement in desk.observed] == [False, True, False]
    assert len(calls) == 3
    assert "handed back: no room" in caplog.text
    assert "Traceback" not in caplog.text


async def test_stop_ends_the_wait_of_what_can_be_put_nowhere(watched: Watched) -> None:
    watched.to_refuse = [Busy("no room")] * 100
    desk = Desk(watched)
    handle, _ = failing(StoreAway("no answer"))
    async with asyncio.timeout(45):  # the pause is shorter than this, the grace time longer
        async with desk.working(handle, grace_s=600.0):
            await desk.request()
            await until(lambda: watched.events == ["postpone"])
    assert await desk.transport.depth(PLANNING) == 1


async def test_nothing_is_tried_on_a_delivery_that_is_lost(watched: Watched) -> None:
    watched.to_refuse = [DeliveryLost("another connection")]
    desk = Desk(watched)
    handle, calls = failing(StoreAway("no answer"))
    async with desk.working(handle):
        await desk.request()
        await desk.outputs.holds(1)
        await until(lambda: "ack" in watched.events)
    assert watched.events == ["postpone", "ack"]
    assert [settlement.redelivered for settlement in desk.observed] == [False, True]
    assert len(calls) == 2
