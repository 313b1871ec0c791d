"""Arguments that are more than one word or number, as people write them. All errors are those of bad arguments."""

import json
import re

from typer import BadParameter

MAX_CLASSES = 10_000

_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
_SIZE = re.compile(r"(\d{1,4})x(\d{1,4})")


def parse_classes(text: str) -> tuple[str, ...]:
    """Return the names in a comma list; `0-4` in it stands for the names 0, 1, 2, 3 and 4."""
    names: list[str] = []
    for piece in text.split(","):
        names += _span(piece.strip())
        if len(names) > MAX_CLASSES:
            raise BadParameter(f"{text!r} names more than {MAX_CLASSES} classes")
    if len(set(names)) < len(names):
        raise BadParameter(f"{text!r} names a class twice")
    return tuple(names)


def parse_options(texts: list[str]) -> dict[str, int | float | bool | str]:
    """Return `name=value` texts as a mapping; numbers, true and false are read as such."""
    options: dict[str, int | float | bool | str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise BadParameter(f"{text!r}: write it as name=value, for example components=20")
        if name in options:
            raise BadParameter(f"{name!r} is given twice")
        options[name] = _value(value)
    return options


def parse_size(text: str) -> tuple[int, int]:
    """Return the height and width in `32x48`."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise BadParameter(f"{text!r}: write height and width as 32x32")
    return int(found[1]), int(found[2])


def _span(piece: str) -> list[str]:
    if not piece:
        raise BadParameter("a class name is empty: write them as 0-4 or as cat,dog")
    found = _RANGE.fullmatch(piece)
    if not found:
        return [piece]
    first, last = int(found[1]), int(found[2])
    if first > last or last - first >= MAX_CLASSES:
        raise BadParameter(f"{piece!r}: a range goes up, by at most {MAX_CLASSES} names")
    return [str(number) for number in range(first, last + 1)]


def _value(text: str) -> int | float | bool | str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text
