"""Following one job until it is over: by its progress messages, and by the store where one is lost.

The store has the truth. A message that says that a job is over only makes the watcher look; it may be of an attempt
before.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from bus.bus import Bus
from bus.tasks import tasks
from schemas.documents import TERMINAL, Job
from schemas.flow import Progress
from store.base import Store

CHECK_S = 3.0
"""Between two looks at the store, in seconds."""


@asynccontextmanager
async def watch(
    bus: Bus, store: Store, key: str, check_s: float = CHECK_S
) -> AsyncIterator[AsyncIterator[Progress]]:
    """Follow a job's progress until it is over; the last step has the state that it ended in.

    Args:
        bus: Where progress is told.
        store: Where the truth is.
        key: The job's id.
        check_s: Between two looks at the store, in seconds.

    """
    await store.get(Job, key)
    watcher = _Watcher(store, key)
    # The first look comes after the subscription, so that no end falls between the two.
    try:
        async with bus.follow(Progress, since="next") as entries, tasks() as group:
            group.create_task(watcher.relay(entries), name=f"relay {key}")
            group.create_task(watcher.look(check_s), name=f"look {key}")
            async with aclosing(watcher.steps()) as steps:
                yield steps
    except* Exception as failures:  # noqa: BLE001  re-raised: the caller knows single errors only
        raise _first(failures) from None


def end_of(job: Job) -> Progress:
    """Return the step that says how a job ended."""
    return Progress(
        job=job.id, stage="job", state=job.state, done=1, total=1, note=job.reason[:1024]
    )


@dataclass
class _Watcher:
    store: Store
    key: str
    found: asyncio.Queue[Progress] = field(default_factory=asyncio.Queue)

    async def relay(self, entries: AsyncIterator[Progress]) -> None:
        async for entry in entries:
            if entry.job == self.key:
                self.found.put_nowait(entry)

    async def look(self, every_s: float) -> None:
        while True:
            job = await self.store.get(Job, self.key)
            if job.is_over:
                self.found.put_nowait(end_of(job))
            await asyncio.sleep(every_s)

    async def steps(self) -> AsyncGenerator[Progress, None]:
        while True:
            step = await self.found.get()
            if step.state not in TERMINAL:
                yield step
                continue
            job = await self.store.get(Job, self.key)
            if job.is_over:
                yield end_of(job)
                return


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
