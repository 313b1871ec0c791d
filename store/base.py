"""The store: documents by id, parts by digest, a gate for fan-in, tallies for cost.

Every write may be repeated: inserting an id that is there changes nothing, a part's name follows from its bytes, a
member arrives at a gate once. Nothing reads a whole collection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol, TypeVar

from schemas.documents import Document
from store.errors import Conflict

D = TypeVar("D", bound=Document)

MAX_PAGE = 1000
EACH_PAGE = 100  # parsed, a document is ten times its text
MAX_DOCUMENT_BYTES = 15 * 1024 * 1024


@dataclass(frozen=True)
class Arrivals:
    """How things stand at a gate after an arrival.

    Attributes:
        count: How many members are in.
        values: Once all are in, their values in the order of members.
        earlier: The value that the member came with before, which is the one that counts; None: it came first now.

    """

    count: int
    values: list[str] | None
    earlier: str | None = None


class Store(Protocol):
    """What a process may ask of a store. Errors are those of store/errors.py, whatever the engine."""

    async def insert(self, document: Document) -> bool:
        """Keep a new document; return False, and change nothing, if its id is taken.

        Raises:
            ValueError: It is over MAX_DOCUMENT_BYTES; so in `replace`.

        """
        ...

    async def get(self, kind: type[D], key: str) -> D:
        """Return the document of that id, or raise NotFound."""
        ...

    async def replace(self, document: D) -> D:
        """Replace the document if its revision is still the stored one, and return it with the next revision.

        Raises:
            Conflict: Somebody replaced it since it was read.
            NotFound: There is no such document.

        """
        ...

    async def delete(self, kind: type[Document], key: str) -> bool:
        """Remove a document; return whether it was there."""
        ...

    async def find(
        self,
        kind: type[D],
        *,
        limit: int = 100,
        before: D | None = None,
        skip_damaged: bool = False,
        **equal: str,
    ) -> list[D]:
        """Return up to `limit` (1 to MAX_PAGE) documents, newest first, older than `before`.

        Args:
            kind: The document class.
            limit: Page size.
            before: Last document of the page before.
            skip_damaged: Leave out documents that cannot be read, each with an error in the log; else the first is
                Damaged, for whoever decides by what is not there.
            equal: Values of fields listed in `kind.indexes`; another field is a ValueError.

        """
        ...

    async def count(self, kind: type[Document], **equal: str) -> int:
        """Return how many documents have these values, of fields as in `find`."""
        ...

    async def arrive(self, gate: str, member: int, value: str, expected: int) -> Arrivals:
        """Note that `member` (0 to expected - 1) is in, and return how things stand after that.

        Whoever comes last finds the gate complete; of some that come at the same time, several may. A member that
        arrives again keeps its first value, so whoever repeats the last arrival also finds the gate complete. Another
        member is a ValueError.

        """
        ...

    async def arrived(self, gate: str) -> set[int]:
        """Return the members of a gate that are in."""
        ...

    async def close_gate(self, gate: str) -> None:
        """Forget a gate."""
        ...

    async def tally(self, key: str, amounts: Mapping[str, float]) -> None:
        """Add to named sums. The one write that counts twice when repeated: it measures cost, not results.

        An amount that is not finite is a ValueError.
        """
        ...

    async def tallies(self, key: str) -> dict[str, float]:
        """Return the sums under `key`; empty if there are none."""
        ...

    async def put_part(self, data: bytes, owner: str) -> str:
        """Keep bytes on behalf of `owner` and return their digest. Equal bytes are kept once.

        The part is there until `owner` drops it, whatever others put and drop meanwhile. More than MAX_PART_BYTES is
        a ValueError.
        """
        ...

    async def get_part(self, digest: str) -> bytes:
        """Return a part, checked against its digest; NotFound or Damaged otherwise."""
        ...

    async def drop_parts(self, owner: str, *digests: str) -> int:
        """End `owner`'s claims on these parts, or on all; parts that nobody else claims are deleted.

        Returns how many claims ended.
        """
        ...

    async def drop_unfinished(self, before: datetime) -> int:
        """Remove what is left of parts whose upload or removal began before then and was cut off; return how many.

        An upload that is still going on begins again. Where a put is done as a whole or not at all, there is nothing.
        """
        ...

    async def ping(self) -> str:
        """Return the engine's name and version, or raise StoreUnavailable."""
        ...


def digest_of(data: bytes) -> str:
    """Return the name of a part with these bytes."""
    return sha256(data).hexdigest()


async def change(
    store: Store, kind: type[D], key: str, update: Callable[[D], D | Awaitable[D]]
) -> D:
    """Apply `update` to a document until it goes in without a conflict. `update` may run more than once.

    An update that returns its argument unchanged writes nothing.
    """
    while True:
        current = await store.get(kind, key)
        wanted = update(current)
        changed = await wanted if isinstance(wanted, Awaitable) else wanted
        if changed is current:
            return current
        try:
            return await store.replace(changed)
        except Conflict:
            continue


async def each(
    store: Store, kind: type[D], *, skip_damaged: bool = True, **equal: str
) -> AsyncIterator[D]:
    """Yield all documents with these values, newest first, page by page; see Store.find."""
    last: D | None = None
    while page := await store.find(
        kind, limit=EACH_PAGE, before=last, skip_damaged=skip_damaged, **equal
    ):
        for document in page:
            yield document
        last = page[-1]
