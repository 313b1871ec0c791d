"""The jobs of a run: chains of them, submitted by clients that do not give up.

A client that is not told that its job was accepted asks again with the same token, however often. A job whose end says
that it could not be asked for is retried, as that end tells its publisher. Every other end is the job's own, and is
compared with what the job comes to undisturbed.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from bus.errors import BusUnavailable, Busy
from control.session import Session
from control.verbs import jobs
from control.verbs.errors import Refused
from schemas.documents import Job
from schemas.job import Spec
from store.errors import StoreUnavailable
from tests.chaos.curriculum import CHAIN, LONE, Lessons, Outcome, outcome
from tests.chaos.pace import Pace
from tests.chaos.world import Site, World

T = TypeVar("T")

AWAY = (BusUnavailable, Busy, StoreUnavailable)
ASK_AGAIN_S = 0.3
LOOK_S = 0.2
OVER_WITHIN_S = 600.0
NOT_ASKED = "it could not be asked for"


@dataclass(frozen=True)
class Ended:
    """A job that is over.

    Attributes:
        site: Where.
        job: Its id.
        step: What it asked for.
        seconds: From accepted to over.
        problem: How it is not as it should be.
        resumed: How often a watchdog, or `rdg up` at its start, asked for it at the place where it last stood.

    """

    site: str
    job: str
    step: str
    seconds: float
    problem: str
    resumed: int


@dataclass
class Load:
    """Runs chains until enough jobs were begun.

    Attributes:
        world: What is disturbed.
        sites: Where the chains run, in turn.
        lessons: What the jobs ask for and come to.
        pace: Holds jobs and faults together.
        lanes: Chains at a time.
        name: Begins every model and token.
        ended: All jobs so far.
        asked_again: How often a client could not do what it wanted, by error.

    """

    world: World
    sites: Sequence[Site]
    lessons: Lessons
    pace: Pace
    lanes: int
    name: str
    ended: list[Ended] = field(default_factory=list)
    asked_again: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Run all jobs to their end."""
        numbers = count()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.lanes):
                group.create_task(self._lane(numbers))

    def site_of(self, number: int) -> Site:
        """Return where chain `number` runs."""
        return self.sites[number % len(self.sites)]

    def lone(self, number: int) -> tuple[str, Spec]:
        """Return token and specification of a job that is a chain by itself."""
        model = f"{self.name}-lone-{number}"
        return model, self.lessons.spec(LONE, model, number)

    async def submit(self, site: Site, spec: Spec, token: str) -> Job:
        """Ask until it is accepted."""

        async def ask() -> Job:
            async with Session(site.client, "json").connections() as (store, bus):
                job = await jobs.submit(store, bus, spec, token)
                if job.state == "failed" and NOT_ASKED in job.reason:
                    job = await jobs.retry(store, bus, job.id)
                return job

        return await self._patiently(ask)

    async def cancel(self, site: Site, job: Job) -> None:
        """Ask for its end until that is accepted, or comes too late."""

        async def ask() -> None:
            async with Session(site.client, "json").connections() as (store, bus):
                with suppress(Refused):
                    await jobs.cancel(store, bus, job.id)

        await self._patiently(ask)

    async def follow(self, site: Site, job: Job, step: str, *accepted: Outcome) -> bool:
        """Wait until the job is over, and return whether that is one of the accepted ends."""
        started = time.monotonic()
        await self.pace.step(site.name, opened=1)
        problem = f"not over after {OVER_WITHIN_S:.0f} s"
        with suppress(TimeoutError):
            async with asyncio.timeout(OVER_WITHIN_S):
                job = await self._over(site, job)
                problem = await self._compared(site, job, accepted)
        await self.pace.step(site.name, opened=-1)
        seconds = time.monotonic() - started
        resumed = job.resumed.count if job.resumed else 0
        self.ended.append(Ended(site.name, job.id, step, seconds, problem, resumed))
        return not problem

    async def follow_lone(self, site: Site, job: Job, number: int, *also: Outcome) -> None:
        """Wait until a lone job is over, and compare."""
        await self.follow(site, job, LONE.name, self.lessons.outcome(LONE, number), *also)

    async def _lane(self, numbers: Iterator[int]) -> None:
        while not self.pace.is_over:
            await self._chain(next(numbers))

    async def _chain(self, number: int) -> None:
        site, model = self.site_of(number), f"{self.name}-{number}"
        for place, step in enumerate(CHAIN):
            if not await self.pace.next_job():
                return
            spec = self.lessons.spec(step, model, number)
            job = await self.submit(site, spec, f"{model}/{place}")
            if not await self.follow(site, job, step.name, self.lessons.outcome(step, number)):
                return  # all that follow would differ, too
        if await self.pace.next_job():
            await self._cancelled(site, number)

    async def _cancelled(self, site: Site, number: int) -> None:
        """Submit a job and end it at some moment of its life; it may be over before."""
        token, spec = self.lone(number)
        job = await self.submit(site, spec, token)
        await asyncio.sleep(random.Random(token).uniform(0, 1.5))
        await self.cancel(site, job)
        await self.follow_lone(site, job, number, Outcome("cancelled", ""))

    async def _compared(self, site: Site, job: Job, accepted: tuple[Outcome, ...]) -> str:
        found = await self._patiently(lambda: outcome(site.store, job))
        if found in accepted:
            return ""
        return f"{found} {job.reason!r}, undisturbed it is {accepted[0]}"

    async def _over(self, site: Site, job: Job) -> Job:
        seen = -1
        while True:
            now = await self._patiently(lambda: site.store.get(Job, job.id))
            if now.revision != seen:
                seen = now.revision
                await self.pace.step(site.name)
            if now.is_over:
                return now
            await asyncio.sleep(LOOK_S)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except AWAY as error:
                self.asked_again[type(error).__name__] += 1
            await asyncio.sleep(ASK_AGAIN_S)
