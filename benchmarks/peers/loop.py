"""What the asynchronous peers share: an event loop of the kind to be measured, and publishes in flight together."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from benchmarks.peers import IN_FLIGHT

T = TypeVar("T")


def run_on(uvloop: bool, main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end on asyncio's own loop or on uvloop."""
    with asyncio.Runner(loop_factory=_uvloop() if uvloop else None) as runner:
        runner.run(main)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    from uvloop import new_event_loop

    return new_event_loop


async def publish_each(publish: Callable[[T], Awaitable[object]], items: Iterable[T]) -> None:
    """Publish all items, IN_FLIGHT at a time: that many lanes that share one iterator."""
    remaining = iter(items)

    async def lane() -> None:
        for item in remaining:
            await publish(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(lane())


class Countdown:
    """Ends a consumer: `passed` is set once `count` messages were handled."""

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._left = count
        self._done = done
        self.passed = asyncio.Event()

    def one(self) -> None:
        """Count one message."""
        self._left -= 1
        if self._left == 0:
            self._done()
            self.passed.set()
