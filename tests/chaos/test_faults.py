"""The short form: a fault of each kind while jobs run, and nothing is lost, doubled or left behind."""

import pytest

from tests.chaos.curriculum import Lessons
from tests.chaos.faults import KINDS, schedule
from tests.chaos.report import table
from tests.chaos.run import Plan, run
from tests.chaos.world import World

pytestmark = [
    pytest.mark.rabbit,
    pytest.mark.mongo,
    pytest.mark.timeout(420),
    pytest.mark.asyncio(loop_scope="package"),
]

OF_SINGLE = {"control process killed", "disk full"}


@pytest.mark.parametrize("kind", KINDS)
async def test_jobs_end_as_if_undisturbed(disturbed: World, taught: Lessons, kind: str) -> None:
    faults = schedule(seed=1, count=1, kinds=[kind])
    sites = ("single",) if kind in OF_SINGLE else ("cluster",)
    name = kind.replace(" ", "-")
    plan = Plan(name, faults, jobs=3, sites=sites, job_lanes=1, fault_lanes=1)

    result = await run(disturbed, taught, plan)

    assert result.violations == [], table(result)
    assert len(result.recoveries) == 1
    assert len(result.jobs) >= 3


async def test_all_kinds_at_once(disturbed: World, taught: Lessons) -> None:
    plan = Plan("all", schedule(2, len(KINDS), list(KINDS)), jobs=10, job_lanes=4, fault_lanes=2)

    result = await run(disturbed, taught, plan)

    assert result.violations == [], table(result)
    assert {each.fault.kind for each in result.recoveries} == set(KINDS)
