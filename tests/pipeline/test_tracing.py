"""A job can be followed through the whole system by the one trace of its submission."""

import asyncio
from pathlib import Path

from bus.tasks import tasks
from bus.tracing import begun
from control.verbs import jobs, reviews
from edge_agent.agent import Agent
from edge_agent.slots import opened
from schemas.documents import Job
from schemas.flow import ModelReleased
from tests.bus.inbox import until
from tests.pipeline.system import System, embedded
from tests.pipeline.test_rules import prepare, reaches, rehearsal
from tests.spans import Spans, context_of, recorded
from workers.pipeline import PIPELINE


async def until_released(system: System, job: Job, agent: Agent) -> None:
    """Wait for the person's turn, approve, and wait until the device runs what came of it."""
    await reaches(system, job, "reviewing")
    with begun("a person's request"):
        await reviews.decide(system.store, system.bus, job.id, approved=True, reviewer="ada")
    done = await system.over(job.id)
    assert (done.state, done.reason) == ("completed", "")
    await until(lambda: agent.running is not None and agent.running.version == 2)


def stages(spans: Spans, trace: str) -> set[str]:
    """The stages that worked on a message of the trace."""
    return {
        str((span.attributes or {})["rdg.stage"])
        for span in spans.get_finished_spans()
        if span.name.startswith("process") and f"{context_of(span).trace_id:032x}" == trace
    }


async def test_one_trace_goes_from_the_submission_to_the_device(tmp_path: Path) -> None:
    async with embedded(tmp_path) as system:
        await prepare(system)
        with recorded() as spans, opened(tmp_path / "device") as slots:
            agent = Agent("pump-7", "digits", slots)
            async with tasks() as group:
                group.create_task(agent.follow(system.bus))
                spec = rehearsal(review={"mode": "manual"}, fit_new=True)
                job = await jobs.submit(system.store, system.bus, spec)
                await until_released(system, job, agent)
                trace = job.trace.split("-")[1]
                await until(lambda: "edge_agent" in stages(spans, trace))

            assert stages(spans, trace) == {*PIPELINE, "edge_agent"} - {"fleet"}
            (submitted,) = spans.named("submit job")
            assert f"{context_of(submitted).trace_id:032x}" == trace
            assert submitted.parent is None
            (person,) = spans.named("a person's request")
            linked = [
                span
                for span in spans.named("send review.decided.v1")
                if [link.context.trace_id for link in span.links] == [context_of(person).trace_id]
            ]
            assert [f"{context_of(span).trace_id:032x}" for span in linked] == [trace]


async def test_trace_reaches_the_release_without_anybody_to_record_it(tmp_path: Path) -> None:
    async with embedded(tmp_path) as system:
        await prepare(system)
        job = await jobs.submit(system.store, system.bus, rehearsal())
        await system.over(job.id)

        key = f"{ModelReleased.topic}.digits"
        async with (
            asyncio.timeout(30),
            system.bus.transport.follow(key, "newest") as entries,
        ):
            released = await anext(entries)

    assert job.trace.split("-")[1] == released.headers["traceparent"].split("-")[1]
