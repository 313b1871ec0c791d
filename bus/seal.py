"""End-to-end encryption of message bodies: what the broker carries it can neither read nor change.

A message whose class is `sealed` has its body encrypted with the first key; any key opens it. The seal covers the
routing key and the headers that say what a message is, from whom, when and on whose behalf, so that a body under
another message's headers does not open. docs/formats/wire.md is the format.

Not covered are the headers that transports add later (`rdg-attempt`, a dead letter's reason), and what a broker can do
without reading: keep, delay, repeat and drop messages, and see their sizes and headers.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bus.errors import Misconfigured, Unreadable
from bus.transport import Envelope
from schemas.message import Sealing

if TYPE_CHECKING:  # cryptography is loaded where there are keys: devices have none
    from bus.keyring import Key

SEALED = "rdg-sealed"  # the id of the key
COVERED = (
    "ce-specversion",
    "ce-id",
    "ce-type",
    "ce-source",
    "ce-time",
    "ce-subject",
    "traceparent",
)


@dataclass(frozen=True)
class Seal:
    """The keys of a process, the first of which seals, and how strict it is. Without keys it does nothing."""

    keys: "tuple[Key, ...]" = ()
    sealing: Sealing = "require"

    def close(self, envelope: Envelope) -> Envelope:
        """Return the envelope with its body sealed, or as it is if this process does not seal."""
        if not self.keys or self.sealing == "accept":
            return envelope
        key = self.keys[0]
        sealed = replace(envelope, headers={**envelope.headers, SEALED: key.id})
        return replace(sealed, body=key.secret.encrypt(envelope.body, covered(sealed)))

    def open(self, envelope: Envelope, body: bytes, is_expected: bool) -> bytes:
        """Return the body that was sealed.

        Args:
            envelope: Whose key and headers the seal covers.
            body: Its body, wherever that was kept.
            is_expected: Whether its class is one that is sealed.

        Raises:
            Unreadable: The key is missing here, the seal is broken, or there is none where one is required.

        """
        name = envelope.headers.get(SEALED)
        if name is None:
            if is_expected and self.keys and self.sealing == "require":
                raise Unreadable("not sealed: give its publisher the keys (RDG_KEYS)")
            return body
        try:
            return self._key(name).secret.decrypt(body, covered(envelope))
        except ValueError:
            reason = (
                f"the seal of key {name} is broken: its body or headers are not what was published"
            )
            raise Unreadable(reason) from None

    def _key(self, name: str) -> "Key":
        for key in self.keys:
            if key.id == name:
                return key
        there = f"the file of RDG_KEYS has {', '.join(key.id for key in self.keys)}"
        raise Unreadable(
            f"sealed with key {name[:64]!r}, and {there if self.keys else 'RDG_KEYS is not set'}"
        )


OPEN = Seal()
"""Neither seals nor opens."""


def covered(envelope: Envelope) -> bytes:
    """Return what the seal covers beside the body: each text in UTF-8 after its length as a little-endian uint32."""
    headers = envelope.headers
    texts = (headers[SEALED], envelope.key, *(headers.get(name, "") for name in COVERED))
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def read_seal(path: Path | None, sealing: Sealing) -> Seal:
    """Return the seal with the keys of a file; OPEN without one. Raises Misconfigured if it cannot be used."""
    if path is None:
        return OPEN
    from bus.keyring import read_keys

    try:
        return Seal(read_keys(path), sealing)
    except ValueError as error:
        raise Misconfigured(f"RDG_KEYS: {error}") from None
