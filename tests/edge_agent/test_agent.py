"""The agent runs the newest sound release, answers at any moment, and says what it runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from blockbuster import blockbuster_ctx

from bus.bus import Bus
from bus.connect import connect
from bus.local import serve
from bus.memory import MemoryTransport
from bus.tasks import tasks
from edge_agent.agent import Agent
from edge_agent.errors import Invalid, NoModel
from edge_agent.model import Answer
from edge_agent.slots import Slots, opened
from edge_agent.update import assemble
from learning import inference
from schemas.flow import DeviceReported, ModelReleased
from tests.edge_agent.fleet import WITHIN_S, reports_on, until
from tests.edge_agent.releases import (
    ARCHITECTURE,
    flipped,
    parameters,
    release,
    samples,
    with_parts,
)

Reports = asyncio.Queue[DeviceReported]


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    with opened(tmp_path / "state") as held:
        yield held


@pytest.fixture
def agent(slots: Slots) -> Agent:
    return Agent("pump-7", "digits", slots)


@pytest.fixture
def transport() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def bus(transport: MemoryTransport) -> Bus:
    return Bus(transport, "releasing")


@asynccontextmanager
async def following(agent: Agent, bus: Bus) -> AsyncIterator[None]:
    async with tasks() as group:
        group.create_task(agent.follow(bus))
        yield


async def next_report(reports: Reports) -> tuple[str, int | None, str]:
    async with asyncio.timeout(WITHIN_S):
        report = await reports.get()
    return report.state, report.version, report.reason


def expected(released: ModelReleased) -> Answer:
    return assemble(released.manifest, released.parts).predict(samples())


def damaged(released: ModelReleased) -> ModelReleased:
    digest = released.manifest.parts[1].digest
    return with_parts(released, {**released.parts, digest: flipped(released.parts[digest], -1)})


async def test_late_joiner_gets_the_newest_release(agent: Agent, bus: Bus) -> None:
    for version in (1, 2, 3):
        await bus.publish(release(version))

    async with following(agent, bus):
        await until(lambda: agent.running is not None)

    assert agent.running == release(3).manifest


async def test_prediction_equals_that_of_the_inference(agent: Agent, bus: Bus) -> None:
    await bus.publish(release(1))

    async with following(agent, bus):
        await until(lambda: agent.running is not None)
        answer = agent.predict(samples())

    whole = inference.predict(ARCHITECTURE, parameters(1), samples())
    np.testing.assert_array_equal(answer.confidence, whole.max(axis=1))


async def test_swap_is_reported(agent: Agent, bus: Bus, transport: MemoryTransport) -> None:
    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(1))
        first = await next_report(reports)
        await bus.publish(release(2))
        second = await next_report(reports)

    assert first == ("running", 1, "")
    assert second == ("running", 2, "")


async def test_damaged_release_is_refused_and_the_old_one_goes_on(
    agent: Agent, bus: Bus, transport: MemoryTransport
) -> None:
    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(1))
        await next_report(reports)
        await bus.publish(damaged(release(2)))
        state, version, reason = await next_report(reports)

    assert (state, version) == ("refused", 1)
    assert reason.startswith("digits@2: part head: damaged")
    assert agent.predict(samples()).labels == expected(release(1)).labels


async def test_refused_version_may_come_again_whole(
    agent: Agent, bus: Bus, transport: MemoryTransport
) -> None:
    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(damaged(release(2)))
        refusal = await next_report(reports)
        await bus.publish(release(2))
        success = await next_report(reports)

    assert refusal[:2] == ("refused", None)
    assert success[:2] == ("running", 2)


async def test_older_release_is_ignored(agent: Agent, bus: Bus, transport: MemoryTransport) -> None:
    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(2))
        first = await next_report(reports)
        await bus.publish(release(1))
        await bus.publish(release(2))
        await bus.publish(release(3))
        second = await next_report(reports)

    assert first == ("running", 2, "")
    assert second == ("running", 3, "")


async def test_restarted_agent_answers_without_a_bus(agent: Agent, bus: Bus, slots: Slots) -> None:
    await bus.publish(release(1))
    async with following(agent, bus):
        await until(lambda: agent.running is not None)

    restarted = Agent("pump-7", "digits", slots)

    assert restarted.predict(samples()).labels == expected(release(1)).labels


async def test_restarted_agent_reports_what_it_runs(
    slots: Slots, bus: Bus, transport: MemoryTransport
) -> None:
    slots.keep(release(5).manifest, release(5).parts, None)
    restarted = Agent("pump-7", "digits", slots)

    async with reports_on(transport) as reports, following(restarted, bus):
        report = await next_report(reports)

    assert report == ("running", 5, "")


async def test_unheard_report_stops_neither_updates_nor_answers(
    agent: Agent, bus: Bus, transport: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(agent, bus):
        await bus.publish(release(1))
        await until(lambda: "report not sent" in caplog.text)
        await bus.publish(release(2))
        await until(lambda: agent.running == release(2).manifest)
        assert agent.predict(samples()).labels == expected(release(2)).labels
        async with reports_on(transport) as reports:
            report = await next_report(reports)

    assert report == ("running", 2, "")


async def test_update_never_blocks_the_event_loop(agent: Agent, bus: Bus) -> None:
    with blockbuster_ctx():
        async with following(agent, bus):
            await bus.publish(release(1))
            await until(lambda: agent.running is not None)


async def test_every_answer_during_updates_is_of_one_version(agent: Agent, bus: Bus) -> None:
    possible = {expected(release(n)).confidence.tobytes() for n in range(1, 9)}
    over = Event()

    def ask() -> set[bytes]:
        seen = set()
        while not over.is_set():
            seen.add(agent.predict(samples()).confidence.tobytes())
        return seen

    async with following(agent, bus):
        await bus.publish(release(1))
        await until(lambda: agent.running is not None)
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(ask)
            for version in range(2, 9):
                await bus.publish(release(version))
            await until(lambda: agent.running == release(8).manifest)
            over.set()

    assert asking.result() <= possible
    assert len(asking.result()) > 1


async def test_agent_waits_for_its_bus_and_outlives_it(
    agent: Agent,
    transport: MemoryTransport,
    bus: Bus,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "bus.sock"
    async with tasks() as group:
        group.create_task(agent.run(f"unix://{path}"))
        await until(lambda: "waiting for the bus" in caplog.text)
        async with serve(transport, path):
            await bus.publish(release(1))
            await until(lambda: agent.running == release(1).manifest)
        assert agent.predict(samples()).labels == expected(release(1)).labels
        async with serve(transport, path):
            await bus.publish(release(2))
            await until(lambda: agent.running == release(2).manifest)


@pytest.mark.rabbit
async def test_agent_follows_and_reports_over_rabbitmq(
    agent: Agent, amqp_url: str, bus_prefix: str
) -> None:
    async with connect(amqp_url, bus_prefix) as transport, tasks() as group:
        for version in (1, 2):
            await Bus(transport, "releasing").publish(release(version))
        async with reports_on(transport) as reports:
            group.create_task(agent.run(amqp_url, bus_prefix))
            await until(lambda: agent.running == release(2).manifest)
            newest = [await next_report(reports)]
            while newest[-1][1] != 2:
                newest.append(await next_report(reports))

    assert newest[-1] == ("running", 2, "")


def test_agent_without_a_model_says_so(agent: Agent) -> None:
    with pytest.raises(NoModel, match="no version of digits runs yet"):
        agent.predict(samples())


def test_state_of_another_model_is_not_taken(slots: Slots) -> None:
    slots.keep(release(1).manifest, release(1).parts, None)

    with pytest.raises(Invalid, match="holds model digits, not faces: give another --state"):
        Agent("pump-7", "faces", slots)


async def test_answers_are_counted_and_reported(
    slots: Slots, bus: Bus, transport: MemoryTransport
) -> None:
    agent = Agent("pump-7", "digits", slots, report_s=0.01)

    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(1))
        await next_report(reports)
        answer = agent.predict(samples())
        agent.judge(answer, [answer.labels[0]] * len(answer.labels))
        async with asyncio.timeout(WITHIN_S):
            while (observed := (await reports.get()).observed) is None or not observed.correct:
                pass

    assert observed.answers == sum(observed.predicted) == len(answer.labels)
    assert observed.correct == answer.labels.count(answer.labels[0])
    assert observed.correct + observed.wrong == len(answer.labels)


async def test_a_release_is_counted_anew_and_not_judged_by_answers_of_the_one_before(
    slots: Slots, bus: Bus, transport: MemoryTransport
) -> None:
    agent = Agent("pump-7", "digits", slots, report_s=0.01)

    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(1))
        await until(lambda: agent.running is not None)
        old = agent.predict(samples())
        await bus.publish(release(2))
        await until(lambda: agent.running == release(2).manifest)
        agent.judge(old, old.labels)
        agent.predict(samples(3))
        async with asyncio.timeout(WITHIN_S):
            while (report := await reports.get()).version != 2 or report.observed is None:
                pass

    assert (report.observed.answers, report.observed.correct) == (3, 0)


async def counts(reports: Reports) -> tuple[int | None, int]:
    """Return the version and the answers of the next report with counts."""
    async with asyncio.timeout(WITHIN_S):
        while (report := await reports.get()).observed is None:
            pass
    return report.version, report.observed.answers


async def test_counts_are_reported_before_another_version_runs(
    agent: Agent, bus: Bus, transport: MemoryTransport
) -> None:
    async with reports_on(transport) as reports, following(agent, bus):
        await bus.publish(release(1))
        await until(lambda: agent.running is not None)
        agent.predict(samples(3))
        await bus.publish(release(2))

        assert await counts(reports) == (1, 3)
        assert await next_report(reports) == ("running", 2, "")


async def test_an_agent_that_is_stopped_reports_what_it_counted(
    agent: Agent, bus: Bus, transport: MemoryTransport
) -> None:
    async with reports_on(transport) as reports:
        async with following(agent, bus):
            await bus.publish(release(1))
            await next_report(reports)
            agent.predict(samples(3))

        assert await counts(reports) == (1, 3)


async def test_an_agent_that_is_stopped_reports_before_its_connection_ends(
    agent: Agent, bus: Bus, transport: MemoryTransport, tmp_path: Path
) -> None:
    path = tmp_path / "bus.sock"
    async with reports_on(transport) as reports, serve(transport, path):
        async with tasks() as group:
            group.create_task(agent.run(f"unix://{path}"))
            await bus.publish(release(1))
            await next_report(reports)
            agent.predict(samples(3))

        assert await counts(reports) == (1, 3)


async def test_a_lost_connection_does_not_set_back_when_counts_are_reported(
    slots: Slots, bus: Bus, transport: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("edge_agent.agent.monotonic", lambda: now)
    slots.keep(release(1).manifest, release(1).parts, None)
    agent = Agent("pump-7", "digits", slots, report_s=300)

    async with reports_on(transport) as reports:
        async with following(agent, bus):
            assert (await next_report(reports))[0] == "running"
        now += 301
        agent.predict(samples(3))
        async with following(agent, bus):
            assert await counts(reports) == (1, 3)
