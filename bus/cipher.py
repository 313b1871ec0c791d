"""XAES-256-GCM: AES-256-GCM with a nonce of 24 bytes, long enough to be drawn at random for every message.

With random nonces of AES-GCM's own 12 bytes a key is good for 2^32 messages (NIST SP 800-38D, section 8.3): ten days at
5,000 a second. Here the first half of the nonce derives a key of the message's own, by CMAC in counter mode (NIST SP
800-108r1, section 4.1), and AES-256-GCM uses the second half: 2^80 messages. Source: C2SP, XAES-256-GCM.

Imported where a key is: devices have none and do without the library.
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

KEY_BYTES = 32
NONCE_BYTES = 24
OVERHEAD_BYTES = NONCE_BYTES + 16
_HALF = NONCE_BYTES // 2
_BLOCK = 16
_COUNTERS = (b"\x00\x01X\x00", b"\x00\x02X\x00")  # which block of the key, its label, an end


@dataclass(frozen=True)
class Secret:
    """A key of KEY_BYTES, which no representation shows. Of one event loop."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(self.raw)}")

    def encrypt(self, plain: bytes, covered: bytes) -> bytes:
        """Return a random nonce, the encrypted bytes, and a tag over them and over what is `covered`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher(nonce).encrypt(nonce[_HALF:], plain, covered)

    def decrypt(self, sealed: bytes, covered: bytes) -> bytes:
        """Return what was encrypted; raises ValueError if a byte of it, or of `covered`, is another."""
        nonce, encrypted = sealed[:NONCE_BYTES], memoryview(sealed)[NONCE_BYTES:]
        if len(sealed) < OVERHEAD_BYTES:
            raise ValueError("too short to be sealed")
        try:
            return self._cipher(nonce).decrypt(nonce[_HALF:], encrypted, covered)
        except InvalidTag:
            raise ValueError("not what was sealed with this key") from None

    def _cipher(self, nonce: bytes) -> AESGCM:
        """Return AES-256-GCM under the key that the nonce's first half derives."""
        blocks = b"".join(counter + nonce[:_HALF] for counter in _COUNTERS)
        masked = int.from_bytes(blocks, "big") ^ self._mask
        return AESGCM(self._aes.update(masked.to_bytes(2 * _BLOCK, "big")))

    @cached_property
    def _aes(self) -> CipherContext:
        """The block cipher itself: in ECB mode nothing is carried from one call to the next."""
        return Cipher(AES256(self.raw), ECB()).encryptor()  # noqa: S305  what CMAC is made of

    @cached_property
    def _mask(self) -> int:
        """CMAC's subkey K1 (NIST SP 800-38B, section 6.1), once for each of the two blocks."""
        zero = int.from_bytes(self._aes.update(bytes(_BLOCK)), "big")
        subkey = (zero << 1) % (1 << 128) ^ (0x87 if zero >> 127 else 0)
        return subkey << 128 | subkey
