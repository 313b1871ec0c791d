"""How much a message or a document may hold. Every text, number and collection of theirs has a limit.

What comes from outside is bounded before it is used, and a number is one that msgpack, JSON, SQLite, MongoDB and any
language can keep: no field takes an integer beyond 64 bits.
"""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Annotated, TypeVar

from annotated_types import GroupedMetadata, MaxLen
from pydantic import BeforeValidator, Field

T = TypeVar("T")

MAX_ENTRIES = 10_000
"""Of one list or map: classes, shards, parts."""

MAX_VALUES = 131_072
"""In all lists and maps of one message or document."""

MAX_PART_BYTES = 64 * 1024 * 1024

Count = Annotated[int, Field(ge=0, lt=2**63)]

Ordinal = Annotated[int, Field(ge=1, le=2**31)]
"""A version or an attempt: counted from 1."""


@dataclass(frozen=True)
class AtMost(GroupedMetadata):
    """Limits a list or a map before any entry is looked at: each that is wrong would cost a kilobyte of errors."""

    entries: int

    def __iter__(self) -> Iterator[object]:
        yield MaxLen(self.entries)
        yield BeforeValidator(self._few)

    def _few(self, value: T) -> T:
        if isinstance(value, Sized) and len(value) > self.entries:
            raise ValueError(f"{len(value)} entries, at most {self.entries}")
        return value
