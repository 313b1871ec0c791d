"""Message <-> envelope: a msgpack body, CloudEvents attributes as headers. docs/formats/wire.md is the format.

Arrays are a msgpack extension of type 1: one byte for the dtype, one for the number of dimensions, two of padding,
each dimension as uint32, zeros up to a multiple of 16, then the values; all little-endian. The values are read
where they lie, never copied or walked. Decoding trusts nothing: every failure is Unreadable.
"""

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from math import prod
from typing import Any
from uuid import UUID

import msgpack
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bus.bounded import unpacked
from bus.errors import Unreadable
from bus.transport import Envelope
from schemas.message import JobMessage, Message
from schemas.problems import problems_of

ARRAY = 1
CODES = {"uint8": 1, "float32": 2, "int64": 3, "float64": 4, "int32": 5, "float16": 6}
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in CODES.items()}
_CODE_OF = {dtype: code for code, dtype in DTYPES.items()}
MAX_BODY_BYTES = 128 * 1024 * 1024
CONTENT_TYPE = "application/msgpack"


def encode(message: Message, source: str, traceparent: str = "") -> Envelope:
    """Return the message as an envelope.

    Args:
        message: What to send.
        source: Who sends it (`ce-source`).
        traceparent: Its place in a trace, as W3C's header; see bus/tracing.py.

    """
    body = msgpack.packb(message.model_dump(), default=_plain, use_bin_type=True)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(message.id),
        "ce-type": f"io.rdg.{message.topic}",
        "ce-source": source,
        "ce-time": datetime.now(UTC).isoformat(),
    }
    if traceparent:
        headers["traceparent"] = traceparent
    if isinstance(message, JobMessage):
        headers["ce-subject"] = message.run
    return Envelope(message.key, str(message.id), body, headers)


def decode(body: bytes, topic: str, kinds: Mapping[str, type[Message]]) -> Message:
    """Return the message of that topic that the body holds.

    Raises:
        Unreadable: The topic is not expected, or the body is not msgpack, not a map, too large, nested too deep,
            or not that message; the error names the fields.

    """
    if topic not in kinds:
        raise Unreadable(f"unexpected topic {topic[:64]!r}, not one of {', '.join(sorted(kinds))}")
    try:
        return kinds[topic].model_validate(fields_of(body))
    except ValidationError as error:
        raise Unreadable(f"not a {topic}: {problems_of(error)}") from error


def topic_of(headers: Mapping[str, str]) -> str:
    """Return the topic that an envelope's headers name; empty if they name none."""
    return headers.get("ce-type", "").removeprefix("io.rdg.")


def fields_of(body: bytes) -> dict[str, Any]:
    """Return what the body holds, whatever message it is. Raises Unreadable as `decode` does."""
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable(f"body of {len(body)} bytes, at most {MAX_BODY_BYTES}")
    try:
        value = unpacked(body, _array)
    except ValueError as error:
        raise Unreadable(f"body is not msgpack: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"body is a {type(value).__name__}, expected a map of fields")
    return value


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(ARRAY, _array_bytes(value))
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def _array_bytes(array: NDArray[Any]) -> bytes:
    dtype = array.dtype.newbyteorder("<")  # compared as such: asking a dtype for its name is slow
    code = _CODE_OF.get(dtype)
    if code is None:
        raise TypeError(
            f"an array of {array.dtype} has no form on the wire, only {', '.join(CODES)}"
        )
    values = np.ascontiguousarray(array, dtype=dtype).reshape(-1).view(np.uint8)
    return b"".join((_head(code, array.shape), values.data))


def _head(code: int, shape: tuple[int, ...]) -> bytes:
    head = struct.pack(f"<BBxx{len(shape)}I", code, len(shape), *shape)
    return head.ljust(-(-len(head) // 16) * 16, b"\0")


def _array(kind: int, data: bytes) -> NDArray[Any]:
    if kind != ARRAY or len(data) < 4 or data[0] not in DTYPES or data[1] > 8:
        raise ValueError(f"unknown extension {kind}")
    dtype, dimensions = DTYPES[data[0]], data[1]
    start = -(-(4 + 4 * dimensions) // 16) * 16
    if len(data) < start:
        raise ValueError("an array whose head is cut short")
    shape = struct.unpack_from(f"<{dimensions}I", data, 4)
    if prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"array of shape {shape} does not have {len(data) - start} bytes")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)
