"""Spans as OpenTelemetry's SDK records them, for a test to read."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext


class Spans(InMemorySpanExporter):
    """All spans that have ended."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]

    def traces(self) -> dict[str, set[str]]:
        """The names of the spans of each trace, by its id."""
        found: dict[str, set[str]] = {}
        for span in self.get_finished_spans():
            found.setdefault(f"{context_of(span).trace_id:032x}", set()).add(span.name)
        return found


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context
    return context


@contextmanager
def recorded() -> Iterator[Spans]:
    """Record the bus's spans, without an SDK for the rest of the process: that could not be undone."""
    spans = Spans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bus.tracing._tracer", provider.get_tracer("rdg"))
        patch.setattr("bus.tracing._is_recorded", lambda: True)
        yield spans
    provider.shutdown()
