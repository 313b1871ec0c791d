"""msgpack to values, within bounds that nothing honest reaches.

A few bytes of msgpack can claim or hold far more memory than they take: an array that says it has four billion
entries, a body of empty maps. So entries are bounded in each array or map, and in all of them together; strings and
arrays of numbers are bounded by the body itself, and depth by msgpack (about a thousand).
"""

from collections.abc import Callable, Sized
from typing import Any

import msgpack

from schemas.limits import MAX_ENTRIES, MAX_VALUES

Extension = Callable[[int, bytes], object]


def unpacked(body: bytes, extension: Extension = msgpack.ExtType) -> object:
    """Return the one value that the body holds.

    Args:
        body: msgpack, of a length that the caller has bounded.
        extension: Makes a value of a kind and its bytes; a ValueError of it passes.

    Raises:
        ValueError: It is no msgpack, has bytes left, or is over a bound.

    """
    counted = _Counted()
    entries = min(MAX_ENTRIES, len(body))  # each takes a byte, and room for all is made at once
    try:
        return msgpack.unpackb(
            body,
            ext_hook=extension,
            list_hook=counted,
            object_hook=counted,
            max_array_len=entries,
            max_map_len=entries,
        )
    except (msgpack.UnpackException, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


class _Counted:
    """Is shown every array and map once it is whole; each entry of each counts."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def __call__(self, container: Any) -> Sized:
        self._left -= len(container) + 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_VALUES} values")
        return container  # type: ignore[no-any-return]  # a list or a dict
