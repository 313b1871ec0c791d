"""What every engine does alike: the limits of a call, the order of documents, and their stored form.

The stored form is JSON text in both engines: a class may be called "0.5" or "$x", which is not a safe field name
everywhere, and text reads back the same from any server.
"""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar

from pydantic import ValidationError

from schemas.documents import Document
from schemas.limits import MAX_PART_BYTES, MAX_VALUES
from schemas.problems import problems_of
from store.base import MAX_DOCUMENT_BYTES, MAX_PAGE
from store.errors import Conflict, Damaged

D = TypeVar("D", bound=Document)

Place: TypeAlias = tuple[int, str]
"""Where a document is in the order of its kind: when it was created, in microseconds since 1970, and its id."""

Found: TypeAlias = tuple[Place, str]
"""A document as it is stored: its place and its body."""

log = logging.getLogger("rdg.store")

MOST_STRINGS = 2 * MAX_VALUES + 1  # of so many values, each with a key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # one that has no end goes to the end


def created_us(document: Document) -> int:
    """Return when the document was created, in microseconds since 1970: what it is ordered by."""
    return (document.created - _EPOCH) // timedelta(microseconds=1)


def place_of(document: Document) -> Place:
    """Return the place after which the next page begins."""
    return created_us(document), document.id


def next_revision(document: D) -> D:
    """Return the document as it is after one more replacement."""
    return document.model_copy(update={"revision": document.revision + 1})


def write_document(document: Document) -> str:
    """Return the stored form, or raise ValueError with the largest field if it is one that would not be read."""
    body = document.model_dump_json()
    try:
        _check_stored(body)
    except ValueError as error:
        sizes = {name: len(repr(value)) for name, value in document}
        raise ValueError(
            f"{_name(type(document), document.id)}: {error}, most of it in {max(sizes, key=sizes.__getitem__)}: "
            "keep what is large in parts"
        ) from None
    return body


def read_document(kind: type[D], key: str, body: str) -> D:
    """Return the document of a stored form, or raise Damaged with the document's name.

    Fields that are not known are ignored, in what a publisher asked for too: a newer release may have written it.
    """
    try:
        _check_stored(body)
        return kind.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise Damaged(f"{_name(kind, key)} cannot be read: {problems_of(error)}") from error
    except ValueError as error:
        raise Damaged(f"{_name(kind, key)} cannot be read: {error}") from error


async def read_page(
    kind: type[D],
    limit: int,
    before: D | None,
    skip_damaged: bool,
    fetch: Callable[[int, Place | None], Awaitable[Sequence[Found]]],
) -> list[D]:
    """Return a page of Store.find: `limit` documents, or fewer if `fetch` has no more after that place."""
    page: list[D] = []
    last = None if before is None else place_of(before)
    while missing := limit - len(page):
        found = await fetch(missing, last)
        page += _readable(kind, found) if skip_damaged else [_read(kind, each) for each in found]
        if len(found) < missing:
            break
        last = found[-1][0]
    return page


def _readable(kind: type[D], found: Sequence[Found]) -> Iterator[D]:
    for each in found:
        try:
            yield _read(kind, each)
        except Damaged as error:
            log.error("%s; it is left out", error)


def _read(kind: type[D], found: Found) -> D:
    (_, key), body = found
    return read_document(kind, key, body)


def conflict(document: Document) -> Conflict:
    """Return the error for a document that is no longer what the caller read."""
    what = _name(type(document), document.id)
    return Conflict(f"{what} was replaced since revision {document.revision} was read")


def check_search(kind: type[Document], limit: int, equal: Mapping[str, str]) -> None:
    """Raise ValueError for a page size out of range, or a field that may not be searched by."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit: {limit} is not in 1..{MAX_PAGE}")
    for field in equal:
        if field not in kind.indexes:
            known = ", ".join(kind.indexes) or "no field"
            raise ValueError(f"{field}: {kind.collection} can be searched by {known}")


def check_part(data: bytes) -> None:
    """Raise ValueError for a part over MAX_PART_BYTES."""
    if len(data) > MAX_PART_BYTES:
        raise ValueError(f"part of {len(data)} bytes, the limit is {MAX_PART_BYTES}: split it")


def check_member(member: int, expected: int) -> None:
    """Raise ValueError for a member that the gate does not wait for."""
    if not 0 <= member < expected:
        raise ValueError(f"member: {member} is not in 0..{expected - 1}")


def check_amounts(amounts: Mapping[str, float]) -> None:
    """Raise ValueError for an amount that would spoil its sum for good."""
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            raise ValueError(f"{name}: {amount} cannot be added to a sum")


def _check_stored(body: str) -> None:
    """Raise ValueError for text that no document has: parsed, it could take a hundred times its size."""
    size = len(body.encode(errors="replace"))
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"it has {size} bytes, the limit is {MAX_DOCUMENT_BYTES}")
    if _marks(body) > MAX_VALUES and _marks(_STRING.sub("", body, MOST_STRINGS)) > MAX_VALUES:
        raise ValueError(f"it has over {MAX_VALUES} values")


def _marks(text: str) -> int:
    """Return how many values the text can have; those of strings count, too, so most need no second look."""
    return sum(map(text.count, ",{["))


def _name(kind: type[Document], key: str) -> str:
    return f"{kind.__name__} {key!r}"
