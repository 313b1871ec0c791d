"""One trace for a job: a W3C `traceparent` on every message, and spans for whoever records them.

Where OpenTelemetry's SDK is configured (`opentelemetry-instrument rdg worker …`), each publish is a PRODUCER span and
each delivery a CONSUMER span below it, however much later it is taken; names are those of the semantic conventions for
messaging. Elsewhere there are no spans and no cost to speak of, and trace ids go from message to message all the same.

What a message leads to is in its trace. What comes from outside of any message, hours later perhaps (a person's
review, a retry, a restart), goes on in the trace that the job keeps, and is linked to what it came from.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from opentelemetry import trace
from opentelemetry.context import Context as Parent
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    ProxyTracerProvider,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from bus.transport import Envelope
from schemas.message import JobMessage, Message

_TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_UNKNOWN = "0" * 32
_NO_SPAN: AbstractContextManager[object] = nullcontext()

_tracer = trace.get_tracer("rdg")


@dataclass(frozen=True)
class Context:
    """The message that is worked on.

    Attributes:
        job: Id of its job; empty if it is on behalf of none.
        run: The attempt at that job.
        message: Its id.
        trace: Id of its trace: 32 hexadecimal digits.
        stage: Name of the stage that works on it.

    """

    job: str
    run: str
    message: str
    trace: str
    stage: str


_current: ContextVar[Context | None] = ContextVar("rdg_context", default=None)


def current_context() -> Context | None:
    """Return what this task or thread works on; None outside of any message."""
    return _current.get()


def traceparent() -> str:
    """Return the traceparent of what is published now: the current span, or a new one in the current message's trace.

    Outside of both it begins a trace.
    """
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    context, fresh = _current.get(), secrets.token_hex(24)
    return f"00-{context.trace if context else fresh[:32]}-{fresh[32:]}-01"


@contextmanager
def begun(name: str) -> Iterator[str]:
    """Do in a span what no message led to; gives out its traceparent, for a job to keep."""
    with _tracer.start_as_current_span(name) as span:
        parent = traceparent()
        with _continued("" if span.get_span_context().is_valid else parent):
            yield parent


def sending(message: Message, system: str, parent: str) -> AbstractContextManager[object]:
    """Publish inside of this, in a PRODUCER span below what runs now or, given a traceparent, below that.

    Args:
        message: What is published.
        system: What carries it, as the semantic conventions call it.
        parent: A traceparent, or nothing.

    """
    if not _is_recorded():
        return _continued(parent)
    run = message.run if isinstance(message, JobMessage) else ""
    return _tracer.start_as_current_span(
        f"send {message.topic}",
        context=_below(parent),
        kind=SpanKind.PRODUCER,
        links=_links(parent),
        attributes=_attributes("send", system, message.key, str(message.id), run),
    )


@contextmanager
def processing(
    stage: str, source: str, system: str, envelope: Envelope, attempt: int = 1
) -> Iterator[None]:
    """Work on a message, in a CONSUMER span below its publisher's; until then it is the current one.

    Args:
        stage: Name of the stage that works on it.
        source: Name of the queue or log that it came from.
        system: What carried it, as the semantic conventions call it.
        envelope: The message.
        attempt: 1 for the first.

    """
    run, parent = envelope.headers.get("ce-subject", ""), envelope.headers.get("traceparent", "")
    is_recorded, span = _is_recorded(), _NO_SPAN
    if is_recorded:
        about = _attributes("process", system, source, envelope.id, run)
        span = _tracer.start_as_current_span(
            f"process {source}",
            context=_below(parent),
            kind=SpanKind.CONSUMER,
            attributes=about | {"rdg.stage": stage, "rdg.attempt": attempt},
        )
    with span:
        trace_id = _trace_of(traceparent() if is_recorded else parent)
        token = _current.set(Context(run.rpartition(".")[0], run, envelope.id, trace_id, stage))
        try:
            yield
        finally:
            _current.reset(token)


def failed(outcome: str, reason: str, error: Exception) -> None:
    """Mark the current span, if it is recorded: what it is about was retried, postponed, buried or refused."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes({"rdg.outcome": outcome, "error.type": type(error).__qualname__})
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, reason)


def _continued(parent: str) -> AbstractContextManager[object]:
    """Let what is published go on in a trace that is not recorded here."""
    span = _span_of(parent) if parent else None
    return trace.use_span(NonRecordingSpan(span)) if span else _NO_SPAN


@cache
def _is_recorded() -> bool:
    """Whether spans go anywhere: an SDK took the place of the API's own provider before the first message."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def _below(parent: str) -> Parent | None:
    span = _span_of(parent)
    return trace.set_span_in_context(NonRecordingSpan(span)) if span else None


def _links(parent: str) -> list[Link]:
    """Return a link to what runs now, if that is in another trace than the one gone on in."""
    here, there = trace.get_current_span().get_span_context(), _span_of(parent)
    return [Link(here)] if there and here.is_valid and here.trace_id != there.trace_id else []


def _span_of(parent: str) -> SpanContext | None:
    parts = _TRACEPARENT.fullmatch(parent)
    if parts is None:
        return None
    numbers = [int(part, 16) for part in parts.groups()]
    span = SpanContext(numbers[0], numbers[1], True, TraceFlags(numbers[2]))
    return span if span.is_valid else None


def _trace_of(parent: str) -> str:
    """Return the id of a traceparent's trace, or a new one if that is none."""
    parts = _TRACEPARENT.fullmatch(parent)
    return parts[1] if parts and parts[1] != _UNKNOWN else secrets.token_hex(16)


def _attributes(
    operation: str, system: str, destination: str, message: str, run: str
) -> dict[str, str | int]:
    about: dict[str, str | int] = {
        "messaging.system": system,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.message.id": message,
    }
    if run:
        about |= {"messaging.message.conversation_id": run, "rdg.job": run.rpartition(".")[0]}
    return about
