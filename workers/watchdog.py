"""The watchdog: every job that was accepted ends, and says why if it ends without a result.

It looks at the open jobs every few seconds, in each process that attends planning; several do no harm. A job that says
nothing for a while, and of which nothing can be waiting in a queue, is asked for again from where it stands; one that
does not move even then has failed, and so has one whose message is a dead letter or whose deadline is past. A queue
that has not been empty since the job was last heard of may hold it: that is load, and not loss.

Silence is measured by the monotonic clock of one process, which no change of the time of day touches.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bus.bus import Bus
from bus.errors import BusError, BusUnavailable, Unroutable
from bus.stage import AnyStage
from bus.transport import QueueStatus
from schemas.documents import Job, JobState
from schemas.flow import (
    FLOW,
    FittingRequested,
    GenerationRequested,
    GeneratorFitted,
    ModelTrained,
    PopulationProposed,
    PopulationScored,
    RehearsalRequested,
    RehearsalSetReady,
    ReviewDecided,
    SamplesGenerated,
    SamplesLabelled,
    SamplesPredicted,
    TrainingRequested,
)
from schemas.message import JobMessage, Message
from store.base import each
from store.errors import StoreError, StoreUnavailable
from workers.leftovers import clear, clear_uploads
from workers.planning import UNDER_WAY
from workers.resources import Resources, fail
from workers.whereabouts import STAGE, ask_again, waits_for_person

WAITING: Mapping[JobState, tuple[type[Message], ...]] = {
    "submitted": (RehearsalRequested,),
    "fitting": (FittingRequested, GeneratorFitted),
    "generating": (
        GeneratorFitted,
        GenerationRequested,
        PopulationProposed,
        PopulationScored,
        SamplesGenerated,
        SamplesPredicted,
        SamplesLabelled,
    ),
    "reviewing": (RehearsalSetReady, ReviewDecided),
    "training": (TrainingRequested,),
    "releasing": (TrainingRequested, ModelTrained),
}
"""As which messages a job may wait in a queue, by its state."""

TIMES = 3  # asked for again, before it fails
QUIET_S = 10.0
LETTERS = 256

log = logging.getLogger("rdg.watchdog")


@dataclass(frozen=True)
class Sight:
    """A job as it was last seen, and since when it has been so."""

    revision: int
    tallies: Mapping[str, float]
    since: float


@dataclass(frozen=True)
class Letters:
    """How many dead letters a queue has, and why those of each attempt at a job died."""

    count: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Watchdog:
    """What one process has seen of the open jobs.

    Attributes:
        bus: Where jobs are asked for again.
        resources: With the store, and how many jobs may be under way.
        stages: All of the pipeline, whoever attends them.
        stall_s: Silence after which a job is asked for again.
        deadline_s: Longest time that a handler may take.
        clock: Seconds, never set back or forward.

    """

    bus: Bus
    resources: Resources
    stages: Sequence[AnyStage]
    stall_s: float
    deadline_s: float
    clock: Callable[[], float] = time.monotonic
    _sights: dict[str, Sight] = field(default_factory=dict)
    _emptied: dict[str, float] = field(default_factory=dict)
    _letters: dict[str, Letters] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _cleared: float = 0.0

    @property
    def patience_s(self) -> float:
        """Silence in which whatever was under way has come to its end."""
        return self.stall_s + self.deadline_s

    async def run(self, every_s: float) -> None:
        """Look at the jobs for ever, about every so many seconds."""
        while True:
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311  replicas take turns
            try:
                await self.sweep()
            except (BusError, StoreError) as error:
                log.warning("looking again in %g s: %s", every_s, error)

    async def sweep(self) -> None:
        """Look at every open job once, and now and then for what those that are over left behind."""
        before, self._sights = self._sights, {}
        looked: set[str] = set()
        under_way = 0
        for state in (*UNDER_WAY, "reviewing"):
            async for job in each(self.resources.store, Job, state=state):
                under_way += state != "reviewing"
                await self._watch(job, before.get(job.run), looked)
        # While as many as may are under way, those that wait for their turn do so rightly.
        if under_way < self.resources.active_jobs:
            async for job in each(self.resources.store, Job, state="submitted"):
                await self._watch(job, before.get(job.run), looked)
        if self.clock() - self._cleared >= self.stall_s:
            await self._clear()
            self._cleared = self.clock()

    async def _watch(self, job: Job, before: Sight | None, looked: set[str]) -> None:
        try:
            if reason := self.resources.overdue(job):
                await fail(self.resources.store, self.bus, job, STAGE, reason)
                return
            sight = self._sights[job.run] = await self._sight(job, before)
            if self.clock() - sight.since >= min(QUIET_S, self.stall_s):
                await self._listen(job, sight, looked)
        except (BusUnavailable, StoreUnavailable):
            raise
        except (BusError, StoreError) as error:  # of this job alone
            log.warning("job %s: %s", job.id, error)

    async def _sight(self, job: Job, before: Sight | None) -> Sight:
        """Return the sight before if nothing was heard of the job since, else a new one."""
        store = self.resources.store
        tallies = await store.tallies(job.id) if job.state in UNDER_WAY else {}
        if before and (before.revision, before.tallies) == (job.revision, tallies):
            return before
        return Sight(job.revision, tallies, self.clock())

    async def _listen(self, job: Job, sight: Sight, looked: set[str]) -> None:
        """Do what is to be done about a job that is quiet, if anything."""
        store = self.resources.store
        queues = tuple(queues_of(self.stages, job))
        for queue in set(queues) - looked:
            await self._look_into(queue)
            looked.add(queue)
        for queue in queues:
            if reason := self._letters[queue].reasons.get(job.run):
                await fail(store, self.bus, job, STAGE, f"dead letter in {queue}: {reason}")
                return
        may_wait = any(self._emptied.get(queue, 0.0) <= sight.since for queue in queues)
        if may_wait or self.clock() - sight.since < self._silence_s(job):
            return
        if await waits_for_person(store, job):
            self._sights[job.run] = replace(sight, since=self.clock())  # or it is asked each time
        else:
            await ask_again(store, self.bus, job, TIMES)

    def _silence_s(self, job: Job) -> float:
        """Return the silence after which something is done: more before the end, to be sure."""
        if job.resumed and job.resumed.count >= TIMES:
            return self.patience_s
        if job.state == "submitted":  # its publisher may have been killed before it asked
            return min(QUIET_S, self.stall_s)
        return self.stall_s

    async def _look_into(self, queue: str) -> None:
        """Note whether a queue is empty, and read its dead letters if they are others than before."""
        try:
            status = await self.bus.transport.status(queue)
        except Unroutable:  # nobody ever attended it
            status = QueueStatus(waiting=0, receivers=0, dead=0)
        if not status.waiting:
            self._emptied[queue] = self.clock()
        known = self._letters.setdefault(queue, Letters())
        if known.count != status.dead:
            letters = await self.bus.transport.dead(queue, LETTERS)
            reasons = {
                letter.headers.get("ce-subject", ""): letter.headers.get("rdg-reason", "")
                for letter in reversed(letters)  # the newest reason counts
            }
            self._letters[queue] = Letters(status.dead, reasons)

    async def _clear(self) -> None:
        """Clear up after the jobs that ended so long ago that nobody can be at them, and after what was never done."""
        await clear_uploads(self.resources.store)
        now, before, self._ended = self.clock(), self._ended, {}
        async for job in each(self.resources.store, Job, leftovers="possible"):
            since = self._ended[job.run] = before.get(job.run, now)
            if now - since >= self.patience_s:
                await self._clear_up(job)

    async def _clear_up(self, job: Job) -> None:
        try:
            await clear(self.resources.store, self.bus, job)
        except (BusUnavailable, StoreUnavailable):
            raise
        except (BusError, StoreError) as error:  # of this job alone; the others' turn comes
            log.warning("job %s cannot be cleared up after: %s", job.id, error)


def queues_of(stages: Sequence[AnyStage], job: Job) -> Iterator[str]:
    """Yield the queues in which a message of the job may wait; those of messages that are not ours are among them.

    What a dead letter says of its job is believed in these queues only. An unreadable one can prove nothing, so it has
    to lie where messages of jobs are taken, to which only the pipeline publishes: not a device, for one.
    """
    for stage in stages:
        ours = tuple(kind for kind in stage.consumes if kind in WAITING[job.state])
        others = tuple(
            kind for kind in stage.consumes if kind not in FLOW and issubclass(kind, JobMessage)
        )
        routed = replace(stage, consumes=ours, routes=(str(job.spec.generator),))
        for queue in (*routed.queues, *replace(stage, consumes=others).queues):
            yield queue.name
