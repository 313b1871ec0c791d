"""The newest report reaches the fleet, however often the bus fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from bus.bus import Bus
from bus.errors import BusUnavailable
from bus.memory import MemoryTransport
from bus.tasks import tasks
from bus.transport import Envelope
from edge_agent.reporting import Reporter
from schemas.flow import DeviceReported
from schemas.monitoring import Observed
from tests.edge_agent.fleet import WITHIN_S, reports_on, until
from tests.edge_agent.releases import release


@dataclass
class FailingTransport(MemoryTransport):
    """A bus that is away for the first `failures` messages."""

    failures: int
    tried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def send(self, envelope: Envelope) -> None:
        self.tried.append(envelope.id)
        if len(self.tried) <= self.failures:
            raise BusUnavailable
        await super().send(envelope)


class SlowTransport(MemoryTransport):
    """A bus whose sending takes until `may_end`."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def send(self, envelope: Envelope) -> None:
        self.began.set()
        await self.may_end.wait()
        await super().send(envelope)


@asynccontextmanager
async def sent_by(
    reporter: Reporter, transport: MemoryTransport
) -> AsyncIterator[asyncio.Queue[DeviceReported]]:
    """What arrives from a reporter, which sends until the block ends."""
    async with reports_on(transport) as reports, tasks() as group, asyncio.timeout(WITHIN_S):
        group.create_task(reporter.send(Bus(transport, "pump-7")))
        yield reports


async def test_report_is_sent_again_under_the_same_id() -> None:
    transport = FailingTransport(failures=2)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(3).manifest)

    async with sent_by(reporter, transport) as reports:
        report = await reports.get()

    assert (report.device, report.model, report.version) == ("pump-7", "digits", 3)
    assert transport.tried == [str(report.id)] * 3


async def test_newer_report_takes_the_place_of_an_unsent_one() -> None:
    transport = FailingTransport(failures=1)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(1).manifest)

    async with sent_by(reporter, transport) as reports:
        await until(lambda: len(transport.tried) == 1)
        reporter.report("refused", release(1).manifest, "digits@2: damaged")
        report = await reports.get()

    assert (report.state, report.version, report.reason) == ("refused", 1, "digits@2: damaged")
    assert reports.empty()
    assert len(transport.tried) == 2


async def test_report_made_before_the_bus_is_there_is_sent_once() -> None:
    transport = FailingTransport(failures=0)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", None)

    async with sent_by(reporter, transport) as reports:
        first = await reports.get()
        reporter.report("running", release(1).manifest)
        second = await reports.get()

    assert (first.version, second.version) == (None, 1)
    assert len(transport.tried) == 2


async def test_report_made_while_another_is_on_its_way_is_sent_too() -> None:
    transport = SlowTransport()
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(1).manifest)

    async with sent_by(reporter, transport) as reports:
        await transport.began.wait()
        reporter.report("running", release(2).manifest)
        transport.may_end.set()
        versions = [(await reports.get()).version, (await reports.get()).version]

    assert versions == [1, 2]


def seen(answers: int) -> Observed:
    return Observed(since=datetime(2030, 1, 1, tzinfo=UTC), confidence=(answers,))


async def test_counts_are_sent_with_what_was_said_last() -> None:
    transport = FailingTransport(failures=0)
    reporter = Reporter("pump-7", "digits")
    reporter.report("refused", release(3).manifest, "digits@4: damaged")

    async with sent_by(reporter, transport) as reports:
        said = await reports.get()
        reporter.count(seen(5))
        counted = await reports.get()

    assert (counted.state, counted.reason) == ("refused", "digits@4: damaged")
    assert counted.observed == seen(5)
    assert counted.at >= said.at
    assert counted.id != said.id


async def test_counts_that_are_known_are_not_sent_again() -> None:
    transport = FailingTransport(failures=0)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(3).manifest)

    async with sent_by(reporter, transport) as reports:
        await reports.get()
        for answers in (0, 5, 5):
            reporter.count(seen(answers))
        assert (await reports.get()).observed == seen(5)
        reporter.count(seen(5))
        reporter.count(seen(6))
        assert (await reports.get()).observed == seen(6)

    assert len(transport.tried) == 3


async def test_last_counts_of_a_version_do_not_give_way_to_the_next_version() -> None:
    transport = FailingTransport(failures=1)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(1).manifest)

    async with sent_by(reporter, transport) as reports:
        await until(lambda: len(transport.tried) == 1)
        reporter.count(seen(5))
        reporter.report("running", release(2).manifest)
        reporter.report("running", release(3).manifest)
        said = [await reports.get(), await reports.get()]

    assert [(each.version, each.observed) for each in said] == [(1, seen(5)), (3, None)]
    assert reports.empty()


async def test_a_bus_that_does_not_answer_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = SlowTransport()
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(1).manifest)

    async with reports_on(transport), asyncio.timeout(WITHIN_S):
        await reporter.flush(Bus(transport, "pump-7"), within_s=0.01)

    assert "the last report was not sent: no answer within 0.01 s" in caplog.text


async def test_a_bus_that_is_away_is_not_tried_again_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = FailingTransport(failures=1)
    reporter = Reporter("pump-7", "digits")
    reporter.report("running", release(1).manifest)

    await reporter.flush(Bus(transport, "pump-7"), WITHIN_S)

    assert len(transport.tried) == 1
    assert "the last report was not sent" in caplog.text
