"""What msgpack may claim, hold and nest, and where it ends."""

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.bounded import unpacked
from schemas.limits import MAX_ENTRIES, MAX_VALUES

FULL = [None] * MAX_ENTRIES

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
@settings(max_examples=60, deadline=None)
def test_what_is_within_the_bounds_is_unpacked(value: object) -> None:
    assert unpacked(msgpack.packb(value)) == value


@given(st.binary(max_size=64))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    try:
        unpacked(body)
    except ValueError as error:
        assert str(error)  # noqa: PT017  it may as well not be raised


def test_a_list_and_a_map_may_be_full() -> None:
    assert unpacked(msgpack.packb(FULL)) == FULL
    full = {str(number): number for number in range(MAX_ENTRIES)}
    assert unpacked(msgpack.packb(full)) == full


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (msgpack.packb([*FULL, None]), "10001 exceeds max_array_len"),
        (msgpack.packb({n: n for n in range(MAX_ENTRIES + 1)}), "10001 exceeds max_map_len"),
        (b"\xdd\xff\xff\xff\xff", "4294967295 exceeds max_array_len"),
        (msgpack.packb([FULL] * (MAX_VALUES // MAX_ENTRIES + 1)), "more than 131072 values"),
        (msgpack.packb([[[]] * MAX_ENTRIES] * 7), "more than 131072 values"),
        (msgpack.packb([[{}] * MAX_ENTRIES] * 7), "more than 131072 values"),
        (b"\x91" * 2000 + b"\xc0", "StackError"),
        (b"\x81\xa1a" * 2000 + b"\xc0", "StackError"),
        (b"\xc0\xc0", "extra data"),
        (b"", "incomplete input"),
        (b"\x81\x90\x01", "not allowed for map key"),
        (b"\xa1\xff", "can't decode byte"),
    ],
)
def test_what_is_beyond_them_is_a_value_error_that_says_so(body: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        unpacked(body)


def test_an_extension_makes_the_value_and_its_refusal_passes() -> None:
    def doubled(kind: int, data: bytes) -> Any:
        if kind != 7:
            raise ValueError(f"unknown extension {kind}")
        return data * 2

    assert unpacked(msgpack.packb([msgpack.ExtType(7, b"ab")]), doubled) == [b"abab"]
    with pytest.raises(ValueError, match="unknown extension 8"):
        unpacked(msgpack.packb(msgpack.ExtType(8, b"")), doubled)
