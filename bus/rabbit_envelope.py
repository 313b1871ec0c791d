"""Envelopes as AMQP messages, and back. What others wrote into headers is checked or left out, never trusted.

All headers of a message must fit into one frame, or the broker closes the whole connection and gives the message to
the next. So of what came only the headers of the format are kept (docs/formats/wire.md), each within a bound, and what
this system adds is cut to its own.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from bus.transport import DEATH, Envelope
from bus.wire import CONTENT_TYPE

KEY = "rdg-key"
"""The first routing key: on RabbitMQ a message that comes back is addressed to its queue."""

ATTEMPT = "rdg-attempt"
POSTPONED = "rdg-postponed"
KEPT = frozenset(
    {
        *("ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-subject", "ce-dataref"),
        *("traceparent", "tracestate", "rdg-bytes", "rdg-sealed"),
    }
)
"""The headers that a publisher may give a message; any other is left out."""

MAX_HEADER_BYTES = 1024
MAX_TRACE_BYTES = 8192
MAX_SHORT_BYTES = 255
"""Of a routing key and of the properties beside the headers; the protocol has no longer ones."""


def properties_of(envelope: Envelope) -> Basic.Properties:
    """Return what is published beside the body."""
    headers = envelope.headers
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        headers={name: _cut(name, text) for name, text in headers.items()},
        delivery_mode=2,
        message_id=envelope.id,
        message_type=_short(headers.get("ce-type")) or None,
        correlation_id=_short(headers.get("ce-subject")) or None,
    )


def envelope_of(message: DeliveredMessage, key: str = "") -> Envelope:
    """Return the message without what this system added on its way; `key` where the message cannot know it."""
    headers = headers_of(message)
    kept = {name: headers[name] for name in KEPT & headers.keys() if _fits(headers[name])}
    key = key or _short(headers.get(KEY)) or message.routing_key or ""
    return Envelope(key, message.header.properties.message_id or "", message.body, kept)


def attempt_of(message: DeliveredMessage) -> int:
    """Return which attempt a message is; somebody else's nonsense counts as the first."""
    return _count(message, ATTEMPT, 1)


def postponed_of(message: DeliveredMessage) -> int:
    """Return how often a message was postponed in this attempt."""
    return _count(message, POSTPONED, 0)


def letter_of(message: DeliveredMessage, queue: str) -> Envelope:
    """Return a message of a dead-letter queue. One that the broker buried says so in `x-death` only."""
    headers = headers_of(message)
    death = _death(headers)
    envelope = envelope_of(message, _short(headers.get(KEY)) or _key(death))
    found = (
        headers.get("rdg-reason") or _reason(death),
        headers.get("rdg-trace", ""),
        attempt_of(message),
        queue,
        headers.get("rdg-died") or _time(death),
    )
    said = {name: _cut(name, str(value)) for name, value in zip(DEATH, found, strict=True)}
    return Envelope(envelope.key, envelope.id, envelope.body, {**envelope.headers, **said})


def headers_of(message: DeliveredMessage) -> Mapping[str, Any]:
    """Return all headers, whoever wrote them."""
    return message.header.properties.headers or {}


def _count(message: DeliveredMessage, name: str, otherwise: int) -> int:
    claimed = str(headers_of(message).get(name, ""))
    return int(claimed) if claimed.isdecimal() and len(claimed) < 10 else otherwise


def _fits(value: object, limit: int = MAX_HEADER_BYTES) -> bool:
    return isinstance(value, str) and len(value.encode(errors="replace")) <= limit


def _short(value: object) -> str:
    """Return a text that fits where the protocol wants a short one, otherwise an empty one."""
    return str(value) if _fits(value, MAX_SHORT_BYTES) else ""


def _cut(name: str, text: str) -> str:
    """Return the beginning of a header that is too long; of a traceback its end, which says what happened."""
    encoded = text.encode(errors="replace")
    part = encoded[-MAX_TRACE_BYTES:] if name == "rdg-trace" else encoded[:MAX_HEADER_BYTES]
    return part.decode(errors="ignore")


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the broker noted last, or nothing: a publisher may have written it instead."""
    match headers.get("x-death"):
        case [dict() as death, *_]:
            return death
        case _:
            return {}


def _key(death: Mapping[str, Any]) -> str:
    match death.get("routing-keys"):
        case [key, *_]:
            return _short(key)
        case _:
            return ""


def _reason(death: Mapping[str, Any]) -> str:
    reason = str(death.get("reason", "unknown"))
    if reason == "delivery_limit":
        return "delivery limit: its receivers were lost too often"
    return f"{reason}: buried by the broker"


def _time(death: Mapping[str, Any]) -> str:
    time = death.get("time")
    return time.astimezone(UTC).isoformat() if isinstance(time, datetime) else ""
