"""What is on the unix socket, and what is not let through."""

import asyncio

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import errors
from bus.frames import Frame, Garbage, arguments_of, error_of, failure, frames, pack
from bus.transport import Envelope, Queue, Topology

ENVELOPE = Envelope("orders", "1", b"\x00body", {"ce-id": "1"})


async def _read(data: bytes) -> list[Frame]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [frame async for frame in frames(reader)]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("declare", (Topology((Queue("packing.orders", "orders"),)),)),
        ("send", (ENVELOPE,)),
        ("status", ("packing.orders",)),
        ("dead", ("packing.orders", 100, ("1", "2"))),
        ("letter", ("packing.orders", "1")),
        ("replay", ("packing.orders", None)),
        ("purge", ("packing.orders", ())),
        ("receive", ("packing.orders", 4, 30.0)),
        ("follow", ("news", "newest")),
        ("bury", (7, "reason", "trace")),
        ("stop", ()),
    ],
)
async def test_request_survives(verb: str, arguments: tuple[object, ...]) -> None:
    ((number, sent, values),) = await _read(pack(3, verb, arguments))
    assert (number, sent, arguments_of(sent, values)) == (3, verb, arguments)


async def test_frame_that_breaks_off_is_no_frame() -> None:
    whole = pack(1, "depth", ("packing.orders",))
    assert len(await _read(whole + whole[:-1])) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_garbage(body: bytes) -> None:
    data = len(body).to_bytes(4, "big") + body
    try:
        (frame,) = asyncio.run(_read(data))
    except Garbage:
        return
    assert len(frame) == 3


@given(
    st.sampled_from(["declare", "send", "follow", "receive", "retry", "stop", "fly"]),
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_any_arguments_are_those_of_the_verb_or_garbage(verb: str, values: object) -> None:
    try:
        arguments = arguments_of(verb, values)
    except Garbage:
        return
    assert isinstance(arguments, tuple)


@pytest.mark.parametrize(
    "error",
    [
        errors.BusError("a"),
        errors.BusUnavailable("b"),
        errors.Busy("c"),
        errors.Unroutable("parcels"),
        errors.Unreadable("d"),
        errors.Expired("e"),
    ],
)
def test_error_keeps_its_class_and_text(error: errors.BusError) -> None:
    again = error_of(msgpack.unpackb(msgpack.packb(failure(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_unknown_error_is_a_bus_error() -> None:
    assert type(error_of(["Newer", "text"])) is errors.BusError
