"""Which store a URL means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

from schemas.tls import SYSTEM, Tls
from store.base import Store
from store.errors import StoreUnavailable


@asynccontextmanager
async def open_store(url: str, cache_bytes: int = 0, tls: Tls = SYSTEM) -> AsyncIterator[Store]:
    """Open the store of `url` and close it at the end. Drivers are only imported when asked for.

    Args:
        url: `mongodb://host/database` or `sqlite:///path`.
        cache_bytes: Parts kept in memory, the latest used; 0 keeps none. Parts never change, so none is stale.
        tls: Files of the connection to a server; with them set, it is encrypted.

    """
    from store.cache import CachedParts

    scheme = urlsplit(url).scheme
    if scheme in ("mongodb", "mongodb+srv"):
        from store.mongo import MongoStore

        async with MongoStore.connect(url, tls) as store:
            yield CachedParts(store, cache_bytes) if cache_bytes else store
    elif scheme == "sqlite":
        from store.sqlite import SqliteStore

        async with SqliteStore.open(unquote(urlsplit(url).path)) as store:
            yield CachedParts(store, cache_bytes) if cache_bytes else store
    else:
        raise StoreUnavailable(f"RDG_STORE: {scheme or 'no'} scheme; use mongodb:// or sqlite://")
