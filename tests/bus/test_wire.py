"""Any array survives the wire, and nothing that comes from it can do worse than Unreadable."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bus import wire
from bus.errors import Unreadable
from bus.wire import ARRAY, CODES, decode, encode, topic_of
from schemas.arrays import ArrayOf
from schemas.flow import DeviceReported, RehearsalRequested
from schemas.message import JobMessage, Message

AnyArray = Annotated[NDArray[Any], ArrayOf(tuple(CODES), 0, 8)]


class Carried(Message):
    topic: ClassVar[str] = "carried.v1"
    values: AnyArray
    note: str = ""


class Odd(Message):
    topic: ClassVar[str] = "odd.v1"
    value: complex


KINDS: dict[str, type[Message]] = {"carried.v1": Carried}

any_array = st.sampled_from(sorted(CODES)).flatmap(
    lambda name: arrays.arrays(
        np.dtype(name),
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    )
)


def through(values: NDArray[Any]) -> NDArray[Any]:
    message = decode(encode(Carried(values=values), "here").body, "carried.v1", KINDS)
    assert isinstance(message, Carried)
    return message.values


@given(any_array)
def test_array_of_any_dtype_and_shape_survives(values: NDArray[Any]) -> None:
    received = through(values)
    assert received.dtype == values.dtype
    assert received.shape == values.shape
    np.testing.assert_array_equal(received, values)


@given(any_array.filter(lambda values: values.ndim > 0))
def test_array_in_any_memory_order_survives(values: NDArray[Any]) -> None:
    np.testing.assert_array_equal(through(np.asfortranarray(values)), values)
    np.testing.assert_array_equal(through(values[::-1]), values[::-1])


def test_big_endian_array_arrives_as_the_same_numbers() -> None:
    values = np.arange(5, dtype=">f4")
    received = through(values)
    assert received.dtype == np.dtype("<f4")
    np.testing.assert_array_equal(received, values)


@pytest.mark.parametrize("name", sorted(CODES))
@pytest.mark.parametrize("note", ["", "x", "xyz" * 11])
def test_decoded_array_is_aligned_wherever_it_lies_in_the_body(name: str, note: str) -> None:
    body = encode(Carried(values=np.ones((3, 5), name), note=note), "here").body
    message = decode(body, "carried.v1", KINDS)
    assert isinstance(message, Carried)
    assert message.values.flags.aligned
    assert not message.values.flags.writeable


def test_array_of_a_dtype_without_a_code_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="complex64 has no form on the wire, only uint8"):
        encode(Carried.model_construct(values=np.ones(3, np.complex64)), "here")


def test_value_without_a_form_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="complex has no form on the wire"):
        encode(Odd(value=1j), "here")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_unreadable_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(body, "carried.v1", KINDS)


@given(st.binary(max_size=64), st.integers(0, 127))
def test_arbitrary_extension_is_unreadable_or_a_whole_array(data: bytes, kind: int) -> None:
    body = msgpack.packb({"values": msgpack.ExtType(kind, data)})
    try:
        message = decode(body, "carried.v1", KINDS)
    except Unreadable:
        return
    assert isinstance(message, Carried)
    assert kind == ARRAY
    assert message.values.nbytes <= len(data)


@given(any_array.filter(lambda values: values.nbytes > 0), st.data())
def test_truncated_body_is_unreadable(values: NDArray[Any], data: st.DataObject) -> None:
    body = encode(Carried(values=values), "here").body
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Unreadable):
        decode(body[:end], "carried.v1", KINDS)


def array_bytes(code: int, shape: tuple[int, ...], values: bytes) -> bytes:
    head = bytes((code, len(shape), 0, 0)) + np.array(shape, "<u4").tobytes()
    return head.ljust(-(-len(head) // 16) * 16, b"\0") + values


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        array_bytes(2, (3,), b"\0" * 11),
        array_bytes(2, (3,), b"\0" * 13),
        array_bytes(2, (2**32 - 1, 2**32 - 1, 2**32 - 1), b""),
        array_bytes(2, (2**31, 2**31, 4), b"\0" * 16),
        array_bytes(99, (1,), b"\0" * 4),
        array_bytes(1, (1,) * 9, b"\0"),
        array_bytes(2, (3,), b"")[:8],
    ],
)
def test_array_whose_shape_is_not_its_size_is_unreadable(data: bytes) -> None:
    body = msgpack.packb({"values": msgpack.ExtType(ARRAY, data)})
    with pytest.raises(Unreadable):
        decode(body, "carried.v1", KINDS)


def test_deeply_nested_body_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="not msgpack"):
        decode(b"\x91" * 100_000 + b"\xc0", "carried.v1", KINDS)


def test_body_that_promises_more_than_it_holds_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        decode(b"\xdf\xff\xff\xff\xff", "carried.v1", KINDS)


def test_too_large_body_is_unreadable_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 10)
    with pytest.raises(Unreadable, match="body of 11 bytes, at most 10"):
        decode(b"x" * 11, "carried.v1", KINDS)


@pytest.mark.parametrize("value", [[1, 2], "text", 7, None, b"bytes"])
def test_body_that_is_not_a_map_is_unreadable(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a map of fields"):
        decode(msgpack.packb(value), "carried.v1", KINDS)


def test_field_of_a_wrong_type_is_named() -> None:
    with pytest.raises(Unreadable, match=r"not a carried.v1: values: .*expected an array, got str"):
        decode(msgpack.packb({"values": "text"}), "carried.v1", KINDS)


def test_missing_field_is_named() -> None:
    with pytest.raises(Unreadable, match="values: Field required"):
        decode(msgpack.packb({}), "carried.v1", KINDS)


def test_unexpected_topic_is_unreadable_and_the_expected_are_named() -> None:
    body = encode(Carried(values=np.ones(1, np.uint8)), "here").body
    with pytest.raises(Unreadable, match=r"'other.v1', not one of carried.v1"):
        decode(body, "other.v1", KINDS)


def test_unknown_fields_of_a_newer_producer_are_ignored() -> None:
    class Newer(Carried):
        invented: int = 3

    body = encode(Newer(values=np.ones(2, np.uint8)), "here").body
    assert isinstance(decode(body, "carried.v1", KINDS), Carried)


def test_time_survives() -> None:
    at = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
    sent = DeviceReported(device="d", model="m", version=3, state="running", at=at)
    body = encode(sent, "here").body
    assert decode(body, sent.topic, {sent.topic: DeviceReported}) == sent


def test_headers_are_cloud_events_and_carry_the_job() -> None:
    message = RehearsalRequested(job="job-7")
    headers = encode(message, "rdg/host/1").headers
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == str(message.id)
    assert headers["ce-type"] == "io.rdg.rehearsal.requested.v1"
    assert headers["ce-source"] == "rdg/host/1"
    assert headers["ce-subject"] == "job-7.1"
    assert datetime.fromisoformat(headers["ce-time"]).tzinfo is not None
    assert topic_of(headers) == "rehearsal.requested.v1"


def test_message_without_a_job_has_no_subject() -> None:
    assert not issubclass(Carried, JobMessage)
    assert "ce-subject" not in encode(Carried(values=np.ones(1, np.uint8)), "here").headers


@pytest.mark.parametrize("data", [b"\x02\x08\0\0", b"\x01\x02\0\0\x01\0\0\0", b"\x01"])
def test_an_array_whose_head_is_cut_short_is_unreadable(data: bytes) -> None:
    body = msgpack.packb({"job": "j", "samples": msgpack.ExtType(ARRAY, data)})

    with pytest.raises(Unreadable, match="not msgpack"):
        decode(body, RehearsalRequested.topic, {RehearsalRequested.topic: RehearsalRequested})
