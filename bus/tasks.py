"""A task group that ends with its body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Over(Exception):
    """Ends a task group from inside."""


@asynccontextmanager
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks beside the body and cancel those that still run when it ends.

    An error of the body passes as it is; those of tasks cancel the body and come as an ExceptionGroup.
    """
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                yield group
            except Exception as error:  # noqa: BLE001  raised again below, outside of the group
                failure = error
            raise _Over
    except* _Over:
        pass
    if failure:
        raise failure
