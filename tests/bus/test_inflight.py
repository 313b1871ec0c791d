"""How a consumer that leaves knows what it still has."""

import asyncio

from bus.inflight import InFlight

LONG_S = 600.0


async def test_settlements_are_held_back_until_it_is_full() -> None:
    in_flight = InFlight(2)
    held = asyncio.Event()

    async def hold() -> None:
        async with in_flight.held(LONG_S):
            held.set()

    with in_flight:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            await asyncio.sleep(0)
            assert not in_flight.may_settle.is_set()
            assert not held.is_set()
            with in_flight:
                await held.wait()
    assert in_flight.may_settle.is_set()


async def test_holding_back_does_not_wait_for_ever_for_what_may_not_come() -> None:
    in_flight = InFlight(2)
    with in_flight:
        async with in_flight.held(0.01):
            assert not in_flight.may_settle.is_set()
    assert in_flight.may_settle.is_set()


async def test_it_is_drained_when_nothing_runs_and_what_runs_for_too_long_is_cancelled() -> None:
    in_flight = InFlight(2)
    begun = asyncio.Event()

    async def hang() -> None:
        with in_flight:
            begun.set()
            await asyncio.Event().wait()

    assert await in_flight.drained(LONG_S)
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(hang())
        await begun.wait()
        assert not await in_flight.drained(0.01)
    assert hanging.cancelled()
    assert await in_flight.drained(LONG_S)
