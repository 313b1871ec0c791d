"""What is on the unix socket between a LocalTransport and its server.

Frames: a big-endian uint32 length and that many bytes of msgpack, at most MAX_FRAME_BYTES. A client sends `[number,
verb, arguments]`, any number of them in flight. The server takes up a connection's requests in their order and
answers `[number, "done", result]` or `[number, "failed", [error, text]]`; after `follow` and `receive` it also sends
`[number, "item", value]` for as long as the connection lives. Whatever else a peer sends is Garbage.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgpack
from pydantic import TypeAdapter, ValidationError

from bus.bounded import unpacked
from bus.errors import BusError, BusUnavailable, Busy, Expired, Unreadable, Unroutable
from bus.transport import Envelope, Since, Topology
from bus.wire import MAX_BODY_BYTES
from schemas.problems import problems_of

MAX_FRAME_BYTES = MAX_BODY_BYTES + (1 << 20)

Frame = tuple[int, str, Any]
Ids = tuple[str, ...] | None
Item = tuple[int, int, int, bool, Envelope]
"""A delivery: its token, which attempt it is, how often that was postponed, whether it is redelivered, the message."""

VERBS: Mapping[str, TypeAdapter[Any]] = {
    "declare": TypeAdapter(tuple[Topology]),
    "send": TypeAdapter(tuple[Envelope]),
    "append": TypeAdapter(tuple[Envelope]),
    "depth": TypeAdapter(tuple[str]),
    "status": TypeAdapter(tuple[str]),
    "dead": TypeAdapter(tuple[str, int, Ids]),
    "letter": TypeAdapter(tuple[str, str]),
    "replay": TypeAdapter(tuple[str, Ids]),
    "purge": TypeAdapter(tuple[str, Ids]),
    "follow": TypeAdapter(tuple[str, Since]),  # each item an Envelope
    "receive": TypeAdapter(
        tuple[str, int, float]
    ),  # each item an Item; by its token it is settled:
    "ack": TypeAdapter(tuple[int]),
    "retry": TypeAdapter(tuple[int, float, str]),
    "postpone": TypeAdapter(tuple[int, float, str]),
    "bury": TypeAdapter(tuple[int, str, str]),
    "leave": TypeAdapter(tuple[int]),  # given back as it was
    "stop": TypeAdapter(tuple[()]),  # no more items, please
}
ERRORS = {kind.__name__: kind for kind in (BusUnavailable, Busy, Unroutable, Unreadable, Expired)}

_FRAME: TypeAdapter[Frame] = TypeAdapter(Frame)
_FAILURE: TypeAdapter[tuple[str, str]] = TypeAdapter(tuple[str, str])


class Garbage(Exception):
    """The peer sent what is no frame; only ending the connection helps."""


def pack(*frame: object) -> bytes:
    """Return a frame. Raises BusError if it is too large."""
    body = msgpack.packb(frame, default=_plain)
    if len(body) > MAX_FRAME_BYTES:
        raise BusError(f"{len(body)} bytes are too many at once, at most {MAX_FRAME_BYTES}")
    return len(body).to_bytes(4, "big") + bytes(body)


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Yield what the peer sends until the connection ends. Raises Garbage."""
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            if size > MAX_FRAME_BYTES:
                raise Garbage(f"a frame of {size} bytes, at most {MAX_FRAME_BYTES}")
            yield checked(_FRAME, _unpack(await reader.readexactly(size)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def checked(adapter: TypeAdapter[Any], value: object) -> Any:
    """Return the value as the adapter's type, or raise Garbage."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise Garbage(problems_of(error)) from error


def arguments_of(verb: str, values: object) -> tuple[Any, ...]:
    """Return the arguments of a request, or raise Garbage."""
    if verb not in VERBS:
        raise Garbage(f"an unknown verb {verb[:32]!r}")
    arguments: tuple[Any, ...] = checked(VERBS[verb], values)
    return arguments


def failure(error: BusError) -> tuple[str, str]:
    """Return an error as it travels."""
    return type(error).__name__, error.key if isinstance(error, Unroutable) else str(error)


def error_of(value: object) -> BusError:
    """Return the error that `failure` described."""
    name, text = checked(_FAILURE, value)
    return ERRORS.get(name, BusError)(text)


def _unpack(body: bytes) -> object:
    try:
        return unpacked(body)
    except ValueError as error:
        raise Garbage(f"not msgpack: {error}") from error


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else vars(value)
