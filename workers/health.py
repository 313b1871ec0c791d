"""How a process is: whether it works, what it lacks, and what it sees around itself. workers/endpoints.py tells others.

Alive means that the event loop comes round and nothing else: a server that is away is no reason to start anew. Ready
means that messages are taken: the broker has every consumer, and the store answers. A process that starts, waits for
its servers or was told to stop is not ready.

A consumer that is lost is put back by its transport, for as long as that takes. If it stays away although its queue
answers, the process cannot help itself: it stops in good order with an error, for its supervisor to start it anew.
While the bus itself is away the process stays, since a new one could only wait as well.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Generic, TypeVar

from bus.errors import BusError, Unroutable
from bus.tasks import tasks
from bus.transport import Queue, QueueStatus, Subscription, Transport
from store.base import Store
from store.errors import StoreError
from store.jobs import count_ended
from workers.metrics import Metrics, View
from workers.resources import code_version

T = TypeVar("T")

ANSWER_S = 4.0  # how long servers may take to answer, all at once: a scrape is given ten seconds
PING_FOR_S = 1.0  # how long what it answered is good for
VIEW_FOR_S = 15.0
CHECK_S = 15.0
GONE_S = 300.0

log = logging.getLogger("rdg.worker")


class Kept(Generic[T]):
    """An answer that is asked for again once it is too old. Who wants it at the same time shares one question."""

    def __init__(self, ask: Callable[[], Awaitable[T]], for_s: float) -> None:
        self._ask = ask
        self._for_s = for_s
        self._asking = asyncio.Lock()
        self._kept: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the answer, at most `for_s` seconds old."""
        async with self._asking:
            if self._kept is None or time.monotonic() - self._kept[0] > self._for_s:
                answer = await self._ask()
                self._kept = time.monotonic(), answer
            return self._kept[1]


class Attendance:
    """What a process works with, once it works.

    Args:
        transport: The bus.
        store: The store.
        queues: All of the pipeline, whoever attends them: of one that nobody attends, nobody else would tell.
        consumers: This process's own.

    """

    def __init__(
        self,
        transport: Transport,
        store: Store,
        queues: Iterable[Queue],
        consumers: Mapping[Queue, Subscription],
    ) -> None:
        self._transport = transport
        self._store = store
        self._limits = {queue.name: queue.limit for queue in queues}
        self._consumers = {queue.name: consumer for queue, consumer in consumers.items()}
        self._store_trouble = Kept(self._ping, PING_FOR_S)
        self._counts = Kept(self._count, VIEW_FOR_S)

    @property
    def gone(self) -> list[str]:
        """The queues whose consumer the broker does not have."""
        return [queue for queue, consumer in self._consumers.items() if not consumer.is_active]

    async def missing(self) -> list[str]:
        """Return what keeps the process from working, a line each."""
        trouble = await self._store_trouble.get()
        gone = [f"the consumer of {queue} is gone and being put back" for queue in self.gone]
        return [*gone, trouble] if trouble else gone

    async def view(self) -> View:
        """Return what the process sees now; what is in the queues is up to VIEW_FOR_S old."""
        async with asyncio.TaskGroup() as group:
            pinging = group.create_task(self._store_trouble.get())
            counting = group.create_task(self._counts.get())
        has_store, gone = not pinging.result(), self.gone
        has_bus, statuses, ended = counting.result()
        return View(
            ready=has_store and not gone,
            bus=has_bus,
            store=has_store,
            queues=statuses,
            limits=self._limits,
            consumers={queue: queue not in gone for queue in self._consumers},
            ended=ended,
        )

    async def deserted(self) -> str:
        """Wait until a consumer has been gone for GONE_S although its queue answers, and return which."""
        seen = dict.fromkeys(self._consumers, time.monotonic())
        while True:
            await asyncio.sleep(CHECK_S)
            now, gone = time.monotonic(), self.gone
            seen |= {queue: now for queue in seen if queue not in gone}
            for queue in gone:
                if now - seen[queue] >= GONE_S and (await self._statuses([queue]))[1]:
                    return queue

    async def _ping(self) -> str:
        """Return what is wrong with the store; nothing if it answers."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._store.ping()
        except TimeoutError:
            return f"RDG_STORE: no answer within {ANSWER_S:g} s"
        except StoreError as error:
            return str(error)
        return ""

    async def _count(self) -> tuple[bool, Mapping[str, QueueStatus], Mapping[str, float]]:
        async with asyncio.TaskGroup() as group:
            statuses = group.create_task(self._statuses(self._limits))
            ended = group.create_task(self._ended())
        return *statuses.result(), ended.result()

    async def _statuses(self, queues: Iterable[str]) -> tuple[bool, Mapping[str, QueueStatus]]:
        """Return whether the bus answers, and what is in those of the queues of which it told in time."""
        found: dict[str, QueueStatus] = {}
        has_answered = False
        with suppress(BusError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for queue in queues:
                    with suppress(Unroutable):  # somebody deleted it: an answer, too
                        found[queue] = await self._transport.status(queue)
                    has_answered = True
        return has_answered, found

    async def _ended(self) -> Mapping[str, float]:
        """Return how many jobs ended, by state; nothing if the store does not answer."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await count_ended(self._store)
        except (StoreError, TimeoutError):
            return {}


class Health:
    """How this process is, from its start to its end.

    Attributes:
        stages: What it is to attend.
        metrics: What it counts.
        failure: Why it stopped by itself; empty if it did not.

    """

    def __init__(self, stages: Sequence[str], stop: asyncio.Event) -> None:
        self.stages = tuple(stages)
        self.metrics = Metrics(code_version())
        self.failure = ""
        self._stop = stop
        self._trouble = "starting"
        self._attendance: Attendance | None = None

    def waits(self, trouble: str) -> None:
        """Note what the process waits for before it can begin."""
        self._trouble = trouble
        log.warning("%s; trying again", trouble)

    @asynccontextmanager
    async def attending(self, attendance: Attendance) -> AsyncIterator[None]:
        """Be ready while the context is open; stop the process if it is deserted."""
        self._attendance = attendance
        async with tasks() as group:
            group.create_task(self._stop_if_deserted(attendance))
            yield

    async def missing(self) -> list[str]:
        """Return what keeps this process from being ready, a line each; none if it is."""
        if self._stop.is_set():
            return ["stopping"]
        return await self._attendance.missing() if self._attendance else [self._trouble]

    async def look_around(self) -> None:
        """Bring the metrics up to date."""
        if self._attendance is None:
            return
        view = await self._attendance.view()
        self.metrics.surroundings.show(replace(view, ready=view.ready and not self._stop.is_set()))

    async def _stop_if_deserted(self, attendance: Attendance) -> None:
        queue = await attendance.deserted()
        self.failure = (
            f"the consumer of {queue} stayed away although the bus answers; starting anew may help"
        )
        log.error("%s", self.failure)
        self._stop.set()
