"""One run: jobs and faults side by side, then the verdict."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.chaos.curriculum import Lessons
from tests.chaos.faults import KINDS, Fault
from tests.chaos.load import Ended, Load
from tests.chaos.pace import Pace
from tests.chaos.verdict import given_back, verdict
from tests.chaos.world import World

RECOVER_WITHIN_S = 150.0
TELL_EVERY = 25


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        name: Begins the names of its models.
        faults: In the order they strike.
        jobs: To run; some faults bring one of their own besides.
        sites: Where the chains run, in turn.
        job_lanes: Chains at a time.
        fault_lanes: Faults at a time.
        leftovers_within_s: How long the watchdogs have to clear up; see tests/chaos/verdict.py.

    """

    name: str
    faults: Sequence[Fault]
    jobs: int
    sites: Sequence[str] = ("cluster", "cluster", "cluster", "single")
    job_lanes: int = 8
    fault_lanes: int = 3
    leftovers_within_s: float = 0.0

    def pace(self) -> Pace:
        """Return what keeps its jobs and faults abreast."""
        per_job = len(self.faults) / self.jobs
        return Pace(
            self.jobs, len(self.faults), lead=round(self.job_lanes * per_job) + self.fault_lanes
        )


@dataclass(frozen=True)
class Recovery:
    """How a fault ended.

    Attributes:
        fault: The fault.
        seconds: From its healing until what it broke was back and some job of that site took a step.
        problem: Says so if that took too long.

    """

    fault: Fault
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    plan: Plan
    jobs: Sequence[Ended]
    recoveries: Sequence[Recovery]
    asked_again: dict[str, int]
    violations: Sequence[str]
    seconds: float


async def run(
    world: World, lessons: Lessons, plan: Plan, tell: Callable[[str], None] = lambda _: None
) -> Result:
    """Run the jobs under the faults and judge what they leave; `tell` is given a line now and then."""
    started = time.monotonic()
    sites = [world.site(name) for name in plan.sites]
    load = Load(world, sites, lessons, plan.pace(), plan.job_lanes, plan.name)
    recoveries: list[Recovery] = []
    remaining = iter(plan.faults)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        for _ in range(plan.fault_lanes):
            group.create_task(_lane(load, remaining, recoveries, tell))
    late = [
        f"{each.fault.kind} (fault {each.fault.number}): {each.problem}"
        for each in recoveries
        if each.problem
    ]
    violations = late + await verdict(load, plan.leftovers_within_s)
    seconds = time.monotonic() - started
    return Result(plan, load.ended, recoveries, dict(load.asked_again), violations, seconds)


async def finish(world: World, result: Result) -> Result:
    """Stop all processes of the product, and add what is wrong with how they end and what they give back."""
    async with asyncio.TaskGroup() as group:
        stopping = {unit.name: group.create_task(unit.stop()) for unit in world.units}
    codes = {name: task.result() for name, task in stopping.items()}
    late = [f"{name} ended with {code} on SIGTERM" for name, code in codes.items() if code]
    late += await given_back(world.cluster)
    return replace(result, violations=[*result.violations, *late])


async def _lane(
    load: Load,
    remaining: Iterator[Fault],
    recoveries: list[Recovery],
    tell: Callable[[str], None],
) -> None:
    for fault in remaining:
        await load.pace.next_fault(fault.number)
        recoveries.append(await _strike(load, fault))
        await load.pace.fault_over()
        if len(recoveries) % TELL_EVERY == 0:
            wrong = [each.problem for each in load.ended] + [each.problem for each in recoveries]
            tell(
                f"{len(recoveries)} faults, {len(load.ended)} jobs over, "
                f"{len(list(filter(None, wrong)))} not as they should be"
            )


async def _strike(load: Load, fault: Fault) -> Recovery:
    healing = time.monotonic() + fault.lasts_s
    problem = f"nothing went on within {RECOVER_WITHIN_S:.0f} s"
    try:
        async with asyncio.timeout(RECOVER_WITHIN_S):
            async with KINDS[fault.kind].strike(load, fault) as site:
                await asyncio.sleep(fault.lasts_s)
                healing = time.monotonic()
            await load.pace.next_step(site.name)
            problem = ""
    except TimeoutError:
        pass
    return Recovery(fault, time.monotonic() - healing, problem)
