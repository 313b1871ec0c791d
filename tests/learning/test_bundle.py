"""Arrays to bytes and back, and files that were made to harm."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from learning.bundle import MAX_TENSORS, pack, unpack

DTYPES = st.sampled_from(["bool", "uint8", "int16", "int64", ">i4", "float16", "float32", ">f8"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: arrays_of.arrays(
        dtype, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0)
    )
)
NAMES = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda name: name != "__metadata__"
)
MAPPINGS = st.dictionaries(NAMES, ARRAYS, max_size=5)


def file_of(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype: str = "F32", shape: tuple[int, ...] = (1,), end: int = 4) -> object:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@given(MAPPINGS)
def test_what_was_packed_is_unpacked(arrays: dict[str, NDArray[np.generic]]) -> None:
    back = unpack(pack(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(back[name], array)


@given(MAPPINGS)
def test_order_of_the_mapping_does_not_change_the_bytes(
    arrays: dict[str, NDArray[np.generic]],
) -> None:
    assert pack(arrays) == pack(dict(reversed(arrays.items())))


def test_layout_in_memory_does_not_change_the_bytes() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert pack({"a": np.asfortranarray(array)}) == pack({"a": array})
    assert pack({"a": array[:, ::2]}) == pack({"a": array[:, ::2].copy()})


def test_no_arrays_are_a_legal_file() -> None:
    assert unpack(pack({})) == {}


def test_memoryview_is_read_and_not_kept() -> None:
    data = bytearray(pack({"a": np.ones(3)}))
    arrays = unpack(memoryview(data))
    data[-1] = 0xFF
    np.testing.assert_array_equal(arrays["a"], np.ones(3))


@pytest.mark.parametrize("array", [np.array(["x"]), np.array([object()]), np.array([1j])])
def test_dtype_that_the_format_lacks_is_refused(array: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match=r"tensor 'a': dtype .* cannot be packed"):
        pack({"a": array})


def test_reserved_name_is_refused() -> None:
    with pytest.raises(ValueError, match="reserves this name"):
        pack({"__metadata__": np.ones(1)})


def test_number_of_tensors_is_bounded_both_ways() -> None:
    many = {f"{i}": np.empty(0, dtype=np.float32) for i in range(MAX_TENSORS + 1)}
    header = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in many}
    with pytest.raises(ValueError, match="4097 tensors, at most 4096"):
        pack(many)
    with pytest.raises(ValueError, match="4097 tensors, at most 4096"):
        unpack(file_of(header))


def test_file_that_could_not_be_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="at most 1048576"):
        pack({"a" * 2**20: np.ones(1)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        b"\x80\x04K\x01.",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**20 + 1) + b" " * 2**20,
        file_of(b"\xff\xff"),
        file_of(b"["),
        file_of([]),
        file_of(b"[" * 100_000),
        file_of(entry(), b"123"),
        file_of(entry(), b"12345"),
        file_of(entry(dtype="BF16", end=2), b"12"),
        file_of(entry(dtype="F8_E4M3", end=1), b"1"),
        file_of(entry(shape=(2**62, 4), end=0)),
        file_of(entry(shape=(2**63, 0), end=0)),
        file_of(entry(shape=(1,) * 100), b"1234"),
        file_of(entry(shape=(-1,)), b"1234"),
    ],
)
def test_hostile_file_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a safetensors file: "):
        unpack(data)


@given(st.integers(0, 10**9))
def test_cut_file_is_a_value_error(seed: int) -> None:
    whole = pack({"weight": np.ones((2, 3), dtype=np.float32), "bias": np.ones(3)})
    with pytest.raises(ValueError, match="not a safetensors file: "):
        unpack(whole[: seed % len(whole)])


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_any_bytes_are_a_value_error_or_arrays(header: bytes, body: bytes) -> None:
    with suppress(ValueError):
        arrays = unpack(file_of(header, body))
        assert unpack(pack(arrays)).keys() == arrays.keys()


@given(st.integers(0, 10**9), st.integers(1, 255))
def test_flipped_bits_are_a_value_error_or_arrays(position: int, flip: int) -> None:
    data = bytearray(pack({"weight": np.ones((2, 3), dtype=np.float32), "bias": np.ones(3)}))
    data[position % len(data)] ^= flip
    with suppress(ValueError):
        arrays = unpack(bytes(data))
        assert unpack(pack(arrays)).keys() == arrays.keys()
