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


async def test_it_is_drained_when_nothing_runs() -> None:
    in_flight = InFlight(2)
    assert await in_flight.drained(LONG_S)
    with in_flight:
        assert not await in_flight.drained(0.01)
    assert await in_flight.drained(LONG_S)
