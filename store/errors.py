"""What can go wrong in a store.

StoreError
├── NotFound          no such document or part
├── Conflict          somebody else replaced the document first
├── Damaged           a part's bytes do not match its name, or a document cannot be read
└── StoreUnavailable  the server cannot be reached now; the same call may succeed later
"""


class StoreError(Exception):
    """The store could not do it."""


class NotFound(StoreError, LookupError):
    """No such document or part."""

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"no {what} {key!r} in the store")
        self.what = what
        self.key = key


class Conflict(StoreError):
    """Somebody else replaced the document first; read it again."""


class Damaged(StoreError):
    """Stored bytes are not what they were."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now; check RDG_STORE and that the server runs."""
