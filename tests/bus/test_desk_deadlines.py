"""A handler that is not done by its deadline is cancelled, and that counts as an attempt of its message."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.flow import GeneratorFitted, RehearsalRequested
from schemas.message import JobMessage
from tests.bus.desk import PLANNING, Desk, failing
from tests.bus.inbox import until_dead


async def test_handler_that_hangs_is_cancelled_at_its_deadline_and_buried_in_the_end(
    desk: Desk,
) -> None:
    cancelled = []

    async def hang(_: RehearsalRequested) -> AsyncIterator[JobMessage]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        yield GeneratorFitted(job="never", fitted="x")

    async with desk.working(hang, deadline_s=0.05, attempts=2):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert cancelled == [True, True]
    assert desk.outcomes == ["retried", "buried"]
    assert letter.headers["rdg-reason"].startswith("DeadlineExceeded: planning was not done")
    assert "deadline of 0.05 s" in letter.headers["rdg-reason"]
    assert letter.headers["rdg-attempt"] == "2"


@pytest.mark.parametrize(("of_its_own", "deadline_s"), [(0.05, 30.0), (30.0, 0.05)])
async def test_stage_may_have_a_deadline_of_its_own_up_to_that_of_the_process(
    desk: Desk, of_its_own: float, deadline_s: float
) -> None:
    async def hang(_: RehearsalRequested) -> AsyncIterator[JobMessage]:
        await asyncio.Event().wait()
        yield GeneratorFitted(job="never", fitted="x")

    async with desk.working(hang, of_its_own, deadline_s=deadline_s, attempts=1):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert "deadline of 0.05 s" in letter.headers["rdg-reason"]


async def test_timeout_that_a_handler_raises_is_no_deadline(desk: Desk) -> None:
    handle, _ = failing(TimeoutError("a device did not answer"))
    async with desk.working(handle):
        await desk.request()
        (letter,) = await until_dead(desk.transport, PLANNING, 1)
    assert letter.headers["rdg-reason"] == "TimeoutError: a device did not answer"
