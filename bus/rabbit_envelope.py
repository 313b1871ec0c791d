"""Envelopes as AMQP messages, and back. What others wrote into headers is checked or left out, never trusted."""

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
OWN_HEADERS = {KEY, "rdg-delay", "rdg-retried", *DEATH}


def properties_of(envelope: Envelope) -> Basic.Properties:
    """Return what is published beside the body."""
    headers = envelope.headers
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        headers=dict(headers),
        delivery_mode=2,
        message_id=envelope.id,
        message_type=headers.get("ce-type"),
        correlation_id=headers.get("ce-subject"),
    )


def envelope_of(message: DeliveredMessage, key: str = "") -> Envelope:
    """Return the message without what this system added on its way; `key` where the message cannot know it."""
    headers = headers_of(message)
    own = {
        name: value
        for name, value in headers.items()
        if isinstance(value, str) and name not in OWN_HEADERS and not name.startswith("x-")
    }
    key = key or str(headers.get(KEY, message.routing_key))
    return Envelope(key, message.header.properties.message_id or "", message.body, own)


def attempt_of(message: DeliveredMessage) -> int:
    """Return which attempt a message is; somebody else's nonsense counts as the first."""
    claimed = str(headers_of(message).get(ATTEMPT, ""))
    return int(claimed) if claimed.isdecimal() and len(claimed) < 10 else 1


def letter_of(message: DeliveredMessage, queue: str) -> Envelope:
    """Return a message of a dead-letter queue. One that the broker buried says so in `x-death` only."""
    headers = headers_of(message)
    death = _death(headers)
    envelope = envelope_of(message, str(headers.get(KEY) or _key(death)))
    found = (
        headers.get("rdg-reason") or _reason(death),
        headers.get("rdg-trace", ""),
        attempt_of(message),
        queue,
        headers.get("rdg-died") or _time(death),
    )
    said = dict(zip(DEATH, map(str, found), strict=True))
    return Envelope(envelope.key, envelope.id, envelope.body, {**envelope.headers, **said})


def headers_of(message: DeliveredMessage) -> Mapping[str, Any]:
    """Return all headers, whoever wrote them."""
    return message.header.properties.headers or {}


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the broker noted last, or nothing: a publisher may have written it instead."""
    match headers.get("x-death"):
        case [dict() as death, *_]:
            return death
        case _:
            return {}


def _key(death: Mapping[str, Any]) -> str:
    match death.get("routing-keys"):
        case [str() as key, *_]:
            return key
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
