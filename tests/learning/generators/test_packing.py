"""What is packed comes back, and what is damaged is refused."""

import tracemalloc
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.generators.packing import deflate, inflate, pack, unpack

SCALES = [0.3, 30.0, 3000.0, 3e6]  # one, two and four bytes a value


@pytest.mark.parametrize("dtype", ["uint8", "<f4", "<i8"])
def test_deflated_arrays_come_back_to_the_bit(dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 200, (5, 3, 2)).astype(dtype)
    np.testing.assert_array_equal(inflate(deflate(array), (5, 3, 2), array.dtype), array)


@pytest.mark.parametrize("scale", SCALES)
def test_packed_values_come_back_within_half_a_step(scale: float) -> None:
    values = np.random.default_rng(0).normal(0, scale, (7, 11)).astype(np.float32)
    restored = unpack(pack(values, 0.2), 0.2, (7, 11))
    np.testing.assert_allclose(restored, values, atol=0.1 * (1 + 1e-3) + 1e-6 * scale)


@pytest.mark.parametrize("most", [127, 128, 32767, 32768, -32769])
def test_the_width_of_a_value_is_enough_for_the_largest(most: int) -> None:
    values = np.array([[most, -1, 0]], np.float32)
    np.testing.assert_array_equal(unpack(pack(values, 1), 1, (1, 3)), values)


def test_a_value_of_too_many_steps_is_refused_not_wrapped() -> None:
    with pytest.raises(ValueError, match="take a larger step"):
        pack(np.array([[1e7]], np.float32), 0.001)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_nothing_at_all_can_be_packed(shape: tuple[int, int]) -> None:
    assert unpack(pack(np.zeros(shape, np.float32), 0.1), 0.1, shape).shape == shape


def test_values_of_few_steps_cost_less_than_those_of_many() -> None:
    values = np.random.default_rng(0).standard_normal((50, 50), np.float32)
    assert len(pack(values, 2.0)) < len(pack(values, 0.2)) / 2


@pytest.mark.parametrize(
    "damaged",
    [
        np.zeros(0, np.uint8),
        np.array([3, 1, 2], np.uint8),
        np.array([1, 77, 77], np.uint8),
        pack(np.ones((2, 3), np.float32), 1)[:-3],
        pack(np.ones((2, 4), np.float32), 1),
        pack(np.ones((1, 3), np.float32), 1),
        np.append(pack(np.ones((2, 3), np.float32), 1), np.uint8(0)),
    ],
    ids=["empty", "width", "stream", "cut short", "longer", "shorter", "more after it"],
)
def test_damaged_bytes_are_refused(damaged: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="packed array"):
        unpack(damaged, 1, (2, 3))


def test_changed_bytes_are_refused() -> None:
    packed = deflate(np.arange(100, dtype=np.uint8))
    packed = packed.copy()
    packed[-1] ^= 1  # of the checksum
    with pytest.raises(ValueError, match="packed array"):
        inflate(packed, (100,), np.dtype(np.uint8))


def test_a_bomb_is_not_inflated_beyond_the_shape() -> None:
    bomb = np.frombuffer(zlib.compress(bytes(50_000_000)), np.uint8)
    tracemalloc.start()
    for shape in ((2, 3), (-1, 1)):
        with pytest.raises(ValueError, match="packed array"):
            inflate(bomb, shape, np.dtype(np.uint8))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
