"""One page of any collection, newest first. A page is continued by the id of its last document."""

from typing import TypeVar

from control.verbs.errors import Invalid
from schemas.documents import Document
from store.base import MAX_PAGE, Store

D = TypeVar("D", bound=Document)


async def page(
    store: Store, kind: type[D], limit: int = 100, before: str | None = None, **equal: str | None
) -> list[D]:
    """Return up to `limit` (1 to MAX_PAGE) documents older than the one with the id `before`.

    A field of `equal` that is None is not searched by.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid("limit", f"{limit} is out of range", f"give 1 to {MAX_PAGE}")
    last = None if before is None else await store.get(kind, before)
    wanted = {field: value for field, value in equal.items() if value is not None}
    return await store.find(kind, limit=limit, before=last, skip_damaged=True, **wanted)
