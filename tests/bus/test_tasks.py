"""A task group that ends with its body."""

import asyncio

import pytest

from bus.tasks import tasks


async def test_tasks_that_still_run_are_cancelled_at_the_end() -> None:
    async with tasks() as group:
        task = group.create_task(asyncio.Event().wait())
    assert task.cancelled()


async def test_error_of_the_body_passes_as_it_is_and_cancels_the_tasks() -> None:
    started: list[asyncio.Task[bool]] = []

    async def run() -> None:
        async with tasks() as group:
            started.append(group.create_task(asyncio.Event().wait()))
            raise ArithmeticError("on purpose")

    with pytest.raises(ArithmeticError, match="on purpose"):
        await run()
    assert started[0].cancelled()


async def test_error_of_a_task_ends_the_body_and_comes_as_a_group() -> None:
    async def fail() -> None:
        raise ArithmeticError("on purpose")

    async def run() -> None:
        async with tasks() as group:
            group.create_task(fail())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as failed:
        await run()
    assert failed.group_contains(ArithmeticError, match="on purpose")


async def test_cancelling_passes() -> None:
    async def run() -> None:
        async with tasks():
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await begun.wait()
        running.cancel()
    assert running.cancelled()
