"""What holds when the work of a handler is done twice, and what is not done twice."""

from collections.abc import AsyncIterator
from uuid import UUID

from bus.memory import MemoryTransport
from schemas.flow import GeneratorFitted, Progress, RehearsalRequested
from schemas.message import JobMessage, derived_id
from tests.bus.desk import PLANNING, Desk, failing, fit_two
from tests.bus.inbox import Watched, until, until_dead, until_depth


async def test_outputs_of_a_repeat_have_the_same_ids() -> None:
    ids = []
    for _ in range(2):
        desk = Desk(MemoryTransport())
        async with desk.working(fit_two):
            await desk.request()
            await desk.outputs.holds(2)
        ids.append(desk.output_ids)
    assert ids[0] == ids[1]
    topic = "generator.fitted.v1"
    assert ids[0] == [str(derived_id(UUID(int=1), "planning", topic, n)) for n in (0, 1)]


async def test_progress_notes_do_not_move_the_ids_of_results(desk: Desk) -> None:
    async def with_notes(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        note = Progress(job=message.job, stage="planning", state="running", done=0, total=2)
        yield note
        yield GeneratorFitted(job=message.job, fitted="a")
        yield note
        yield GeneratorFitted(job=message.job, fitted="b")

    async with desk.working(with_notes):
        await desk.request()
        await desk.outputs.holds(2)
    noted = desk.output_ids
    plain = Desk(MemoryTransport())
    async with plain.working(fit_two):
        await plain.request()
        await plain.outputs.holds(2)
    assert sorted(noted) == sorted(plain.output_ids)


async def test_output_that_has_an_id_keeps_it(desk: Desk) -> None:
    async def stamped(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        yield GeneratorFitted(job=message.job, fitted="a", id=UUID(int=99))

    async with desk.working(stamped):
        await desk.request()
        await desk.outputs.holds(1)
    assert desk.output_ids == [str(UUID(int=99))]


async def test_message_that_was_done_is_not_handled_again_by_the_same_process(desk: Desk) -> None:
    handle, calls = failing()
    async with desk.working(handle):
        await desk.request(1)
        await desk.outputs.holds(1)
        await desk.request(1)
        await desk.request(2)
        await desk.outputs.holds(2)
        await until_depth(desk.transport, PLANNING, 0)
    assert [call.id.int for call in calls] == [1, 2]
    assert len(desk.observed) == 2


async def test_message_that_failed_is_handled_again(desk: Desk) -> None:
    handle, calls = failing(ZeroDivisionError("once"))
    async with desk.working(handle):
        await desk.request(1)
        await until_dead(desk.transport, PLANNING, 1)
        await desk.request(1)
        await desk.outputs.holds(1)
    assert len(calls) == 2


async def test_lost_acknowledgement_does_not_mean_the_work_is_done_again(
    watched: Watched,
) -> None:
    watched.acks_to_lose = 1
    desk = Desk(watched)
    handle, calls = failing()
    async with desk.working(handle):
        await desk.request()
        await until(lambda: watched.events == ["ack", "ack"])
    assert len(calls) == 1
    assert len(desk.output_ids) == 1
