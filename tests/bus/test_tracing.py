"""One trace from message to message, with and without somebody who records its spans."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from bus.bus import Bus
from bus.desk import attend
from bus.errors import Retry
from bus.memory import MemoryTransport
from bus.stage import Stage, Terms, topology
from bus.tracing import Context, begun, current_context, traceparent
from bus.transport import Envelope, Queue, Topology
from bus.wire import encode
from schemas.flow import GeneratorFitted, Progress, RehearsalRequested
from schemas.message import JobMessage
from tests.bus.inbox import Inbox, until, until_dead
from tests.spans import Spans, context_of, recorded

ROOT = Path(__file__).parents[2]
PLANNING = "planning.rehearsal.requested.v1"
FITTED = Queue("next.generator.fitted.v1", "generator.fitted.v1")
OLD = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

Handle = Callable[[RehearsalRequested], AsyncIterator[JobMessage]]


@pytest.fixture
def transport() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def bus(transport: MemoryTransport) -> Bus:
    return Bus(transport, "here")


@pytest.fixture
def outputs() -> Inbox:
    return Inbox()


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded() as found:
        yield found


@asynccontextmanager
async def working(bus: Bus, outputs: Inbox, handle: Handle) -> AsyncIterator[None]:
    stage = Stage("planning", (RehearsalRequested,), (GeneratorFitted, Progress), handle)
    await bus.transport.declare(topology([stage]) + Topology((FITTED,)))
    async with (
        bus.transport.receive(FITTED.name, outputs, 10, 1),
        attend(bus, [stage], Terms(retry_s=0.01)),
    ):
        yield


async def fit(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
    yield GeneratorFitted(job=message.job, fitted="a")


async def fit_two(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
    yield GeneratorFitted(job=message.job, fitted="a")
    yield GeneratorFitted(job=message.job, fitted="b")


def request(trace: str | None = OLD) -> Envelope:
    made = encode(RehearsalRequested(job="job-1", id=UUID(int=1)), "elsewhere")
    return replace(made, headers={**made.headers, "traceparent": trace} if trace else made.headers)


def traces(inbox: Inbox) -> list[str]:
    return [each.envelope.headers["traceparent"].split("-")[1] for each in inbox.deliveries]


async def test_what_a_message_leads_to_is_in_its_trace_without_anybody_to_record_it(
    bus: Bus, outputs: Inbox
) -> None:
    async with working(bus, outputs, fit_two):
        await bus.transport.send(request())
        await outputs.holds(2)
    parents = [each.envelope.headers["traceparent"].split("-") for each in outputs.deliveries]
    assert {(version, trace, flags) for version, trace, _, flags in parents} == {
        ("00", OLD.split("-")[1], "01")
    }
    assert len({span for _, _, span, _ in parents} | {OLD.split("-")[2]}) == 3


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "",
        "x",
        "00-short-1-01",
        "00-a-b",
        OLD.upper(),
        OLD + "-1",
        f"00-{'0' * 32}-{'1' * 16}-01",
    ],
)
async def test_unreadable_trace_is_replaced_by_one_for_all_outputs(
    bus: Bus, outputs: Inbox, broken: str | None
) -> None:
    async with working(bus, outputs, fit_two):
        await bus.transport.send(request(broken))
        await outputs.holds(2)
    (trace,) = set(traces(outputs))
    assert len(trace) == 32
    assert int(trace, 16) > 0


async def test_retry_and_replay_keep_the_trace(bus: Bus, outputs: Inbox) -> None:
    seen: list[str] = []

    async def fail_twice(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        context = current_context()
        assert context
        seen.append(context.trace)
        if len(seen) == 1:
            raise Retry("not yet")
        if len(seen) == 2:
            raise ZeroDivisionError("by nought")
        yield GeneratorFitted(job=message.job, fitted="a")

    async with working(bus, outputs, fail_twice):
        await bus.transport.send(request())
        await until_dead(bus.transport, PLANNING, 1)
        await bus.transport.replay(PLANNING)
        await outputs.holds(1)
    assert seen == [OLD.split("-")[1]] * 3
    assert traces(outputs) == [OLD.split("-")[1]]


async def test_handler_and_its_threads_know_which_message_they_work_on(
    bus: Bus, outputs: Inbox
) -> None:
    seen: list[Context | None] = []

    async def look(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        seen.append(current_context())
        seen.append(await asyncio.to_thread(current_context))
        yield GeneratorFitted(job=message.job, fitted="a")

    async with working(bus, outputs, look):
        await bus.transport.send(request())
        await outputs.holds(1)
    here = Context("job-1", "job-1.1", str(UUID(int=1)), OLD.split("-")[1], "planning")
    assert seen == [here, here]
    assert current_context() is None


async def test_message_may_go_on_in_a_trace_that_was_kept(bus: Bus, outputs: Inbox) -> None:
    await bus.transport.declare(Topology((FITTED,)))
    async with bus.transport.receive(FITTED.name, outputs, 10, 1):
        with begun("a person's request"):
            await bus.publish(GeneratorFitted(job="j", fitted="a"), OLD)
        await bus.publish(GeneratorFitted(job="j", fitted="a"), OLD)
        await bus.publish(GeneratorFitted(job="j", fitted="a"), "kept before there were traces")
        await outputs.holds(3)
    kept = OLD.split("-")[1]
    assert traces(outputs)[:2] == [kept, kept]
    assert traces(outputs)[2] != kept


async def test_what_is_begun_is_one_trace(bus: Bus, outputs: Inbox) -> None:
    await bus.transport.declare(Topology((FITTED,)))
    async with bus.transport.receive(FITTED.name, outputs, 10, 1):
        with begun("submit job") as trace:
            await bus.publish(GeneratorFitted(job="j", fitted="a"))
            await bus.publish(GeneratorFitted(job="j", fitted="b"))
        await outputs.holds(2)
    assert traces(outputs) == [trace.split("-")[1]] * 2
    assert traceparent().split("-")[1] != trace.split("-")[1]


async def test_follower_works_on_each_entry_in_its_trace(bus: Bus, spans: Spans) -> None:
    note = Progress(job="j", stage="planning", state="planning", done=0, total=1)
    with begun("submit job") as trace:
        await bus.publish(note)
        await bus.publish(note)
    async with bus.follow(Progress, since="first", stage="watching") as entries:
        async for _ in entries:
            context = current_context()
            assert context
            assert (context.stage, context.trace) == ("watching", trace.split("-")[1])
            break
        await anext(entries)
        assert len(spans.named("process progress.v1")) == 1  # the first is done, the second is not
    assert len(spans.named("process progress.v1")) == 2
    assert current_context() is None


async def test_spans_follow_the_conventions_and_each_other(
    bus: Bus, outputs: Inbox, spans: Spans
) -> None:
    message = RehearsalRequested(job="job-1", id=UUID(int=1))
    async with working(bus, outputs, fit):
        with begun("submit job"):
            await bus.publish(message)
        await outputs.holds(1)
        await until(lambda: bool(spans.named(f"process {PLANNING}")))
    (submit,) = spans.named("submit job")
    (sent,) = spans.named("send rehearsal.requested.v1")
    (worked,) = spans.named(f"process {PLANNING}")
    (answered,) = spans.named("send generator.fitted.v1")
    assert [span.parent and span.parent.span_id for span in (sent, worked, answered)] == [
        context_of(span).span_id for span in (submit, sent, worked)
    ]
    assert (sent.kind, worked.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    common = {
        "messaging.system": "rdg.memory",
        "messaging.message.id": str(message.id),
        "messaging.message.conversation_id": "job-1.1",
        "rdg.job": "job-1",
    }
    assert dict(sent.attributes or {}) == common | {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "rehearsal.requested.v1",
    }
    assert dict(worked.attributes or {}) == common | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": PLANNING,
        "rdg.stage": "planning",
        "rdg.attempt": 1,
    }
    assert worked.status.status_code == StatusCode.UNSET


async def test_retried_and_buried_deliveries_are_errors(
    bus: Bus, outputs: Inbox, spans: Spans
) -> None:
    calls: list[RehearsalRequested] = []

    async def fail(message: RehearsalRequested) -> AsyncIterator[JobMessage]:
        calls.append(message)
        raise Retry("not yet") if len(calls) == 1 else ZeroDivisionError("by nought")
        yield GeneratorFitted(job="never", fitted="a")

    async with working(bus, outputs, fail):
        await bus.transport.send(request())
        await until_dead(bus.transport, PLANNING, 1)
        await until(lambda: len(spans.named(f"process {PLANNING}")) == 2)
    retried, buried = spans.named(f"process {PLANNING}")
    assert [span.status.status_code for span in (retried, buried)] == [StatusCode.ERROR] * 2
    assert buried.status.description == "ZeroDivisionError: by nought"
    about = [span.attributes or {} for span in (retried, buried)]
    assert [each["rdg.outcome"] for each in about] == ["retried", "buried"]
    assert [each["rdg.attempt"] for each in about] == [1, 2]
    assert [each["error.type"] for each in about] == ["Retry", "ZeroDivisionError"]
    assert [event.name for event in buried.events] == ["exception"]
    assert set(spans.traces()) == {OLD.split("-")[1]}


async def test_what_goes_on_in_a_kept_trace_is_linked_to_where_it_came_from(
    bus: Bus, outputs: Inbox, spans: Spans
) -> None:
    await bus.transport.declare(Topology((FITTED,)))
    with begun("a person's request") as here:
        await bus.publish(GeneratorFitted(job="j", fitted="a"), OLD)
    (sent,) = spans.named("send generator.fitted.v1")
    assert f"{context_of(sent).trace_id:032x}" == OLD.split("-")[1]
    assert [f"{link.context.trace_id:032x}" for link in sent.links] == [here.split("-")[1]]


CONFIGURED = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from bus.bus import Bus
from bus.memory import MemoryTransport
from schemas.flow import Progress

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
note = Progress(job="j", stage="planning", state="planning", done=0, total=1)
asyncio.run(Bus(MemoryTransport(), "here").publish(note))
print([span.name for span in exporter.get_finished_spans()])
"""


def test_sdk_that_is_configured_in_the_process_records_the_spans() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CONFIGURED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "['send progress.v1']"
