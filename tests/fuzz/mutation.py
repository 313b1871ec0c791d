"""Changes to the values in a body: what is changed byte by byte alone is mostly not even a body."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    2**64 - 1,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "a",
    "a,b",
    "\0",
    "../x",
    "é\u2028\U0001f600",
    "a" * 70,
    "2025-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "0" * 64,
    [],
    {},
    [[]],
    {"": None},
)


@dataclass(frozen=True)
class Form:
    """How the bytes of an input, after the first `skip`, are values: to read them, and to write them again."""

    skip: int
    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]

    def changed(self, data: bytes, random: Random) -> bytes | None:
        """Return an input with one to three of its values changed; None if it holds none."""
        try:
            value = self.load(data[self.skip :])
            for _ in range(random.randint(1, 3)):
                value = _changed(value, random)
            return data[: self.skip] + self.dump(value)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None


def _changed(value: Any, random: Random) -> Any:
    """Return the value with one value in it replaced, removed, repeated or renamed."""
    if isinstance(value, dict) and value:
        return _changed_map(value, random)
    if isinstance(value, list) and value:
        return _changed_list(value, random)
    return _odd(value, random)


def _changed_map(value: dict[Any, Any], random: Random) -> dict[Any, Any]:
    key = random.choice(list(value))
    match random.randrange(8):
        case 0:
            return {name: each for name, each in value.items() if name != key}
        case 1:
            return value | {random.choice(["a", "", "a,b", "\n", "x" * 70]): value[key]}
        case _:
            return value | {key: _changed(value[key], random)}


def _changed_list(value: list[Any], random: Random) -> list[Any]:
    place = random.randrange(len(value))
    match random.randrange(8):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return value + value[place:] * random.choice([1, 1, 1, 70])
        case _:
            return [*value[:place], _changed(value[place], random), *value[place + 1 :]]


def _odd(value: Any, random: Random) -> Any:
    if isinstance(value, int) and random.random() < 0.5:
        return value + random.choice([-1, 1])
    if isinstance(value, str) and random.random() < 0.5:
        place = random.randint(0, len(value))
        return (
            value[:place] + random.choice(["", "a", "9", " ", ",", "\0", "é"]) + value[place + 1 :]
        )
    return random.choice(ODD)
