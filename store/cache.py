"""Parts in memory, in front of any store."""

from collections import OrderedDict

from store.base import Store


class CachedParts:
    """A store that keeps the parts used last in memory, up to `limit_bytes`; all other verbs are the store's own.

    Dropping parts empties the memory, so that whoever dropped them does not find them again. Other processes may
    remember a dropped part until they need the room.
    """

    def __init__(self, store: Store, limit_bytes: int) -> None:
        self.insert = store.insert
        self.get = store.get
        self.replace = store.replace
        self.delete = store.delete
        self.find = store.find
        self.count = store.count
        self.arrive = store.arrive
        self.arrived = store.arrived
        self.close_gate = store.close_gate
        self.tally = store.tally
        self.tallies = store.tallies
        self.drop_unfinished = store.drop_unfinished
        self.ping = store.ping
        self._store = store
        self._limit_bytes = limit_bytes
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._used_bytes = 0

    async def put_part(self, data: bytes, owner: str) -> str:
        """See Store.put_part."""
        digest = await self._store.put_part(data, owner)
        self._remember(digest, data)
        return digest

    async def get_part(self, digest: str) -> bytes:
        """See Store.get_part. A part is checked when it is read from the store, not again."""
        data = self._parts.get(digest)
        if data is None:
            data = await self._store.get_part(digest)
        self._remember(digest, data)
        return data

    async def drop_parts(self, owner: str, *digests: str) -> int:
        """See Store.drop_parts."""
        try:
            return await self._store.drop_parts(owner, *digests)
        finally:
            for digest in digests or tuple(self._parts):
                self._used_bytes -= len(self._parts.pop(digest, b""))

    def _remember(self, digest: str, data: bytes) -> None:
        """Make the part the latest used, and forget the oldest beyond the limit."""
        if len(data) > self._limit_bytes:
            return
        if digest not in self._parts:
            self._parts[digest] = data
            self._used_bytes += len(data)
        self._parts.move_to_end(digest)
        while self._used_bytes > self._limit_bytes:
            _, oldest = self._parts.popitem(last=False)
            self._used_bytes -= len(oldest)
