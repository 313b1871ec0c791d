"""Keeps jobs and faults abreast, so that no fault hits an idle system and no job is spared."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Pace:
    """What jobs and faults know of each other.

    Attributes:
        jobs: How many to begin.
        faults: How many to come.
        lead: Faults that one side may be ahead of the other.

    """

    jobs: int
    faults: int
    lead: int
    _begun: int = 0
    _over: int = 0
    _open: Counter[str] = field(default_factory=Counter)
    _last_step: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def is_over(self) -> bool:
        """Whether all jobs were begun."""
        return self._begun >= self.jobs

    async def next_job(self) -> bool:
        """Return once another job may begin; False if there is none left."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.is_over or self._due <= self._over + self.lead
            )
            if self.is_over:
                return False
            self._begun += 1
            self._changed.notify_all()
            return True

    async def next_fault(self, number: int) -> None:
        """Return once fault `number`, from 0, may strike."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.is_over or self._may_strike(number))

    async def fault_over(self) -> None:
        """Note that a fault is over."""
        async with self._changed:
            self._over += 1
            self._changed.notify_all()

    async def step(self, site: str, opened: int = 0) -> None:
        """Note that a job of a site took a step; `opened`: how many more are open after it."""
        async with self._changed:
            self._last_step[site] = time.monotonic()
            self._open[site] += opened
            self._changed.notify_all()

    async def next_step(self, site: str) -> None:
        """Return at the next step of a job of the site, or at once if none is open there."""
        now = time.monotonic()
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._last_step.get(site, 0) > now or not self._open[site]
            )

    @property
    def _due(self) -> float:
        """How many faults belong to the jobs begun so far."""
        return self._begun * self.faults / self.jobs

    def _may_strike(self, number: int) -> bool:
        is_busy = self._open.total() > 0 or self._due > self._over + self.lead
        return is_busy and number <= self._due + self.lead
