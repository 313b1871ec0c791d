"""XAES-256-GCM, by the vectors of its specification."""

import secrets

import pytest

from bus import cipher
from bus.cipher import Secret

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(
    ("raw", "covered", "expected"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (
            b"\x03" * 32,
            b"c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        ),
    ],
)
def test_vectors_of_the_specification(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, covered: bytes, expected: str
) -> None:
    monkeypatch.setattr("secrets.token_bytes", lambda _: NONCE)

    sealed = Secret(raw).encrypt(b"XAES-256-GCM", covered)

    assert sealed == NONCE + bytes.fromhex(expected)
    assert Secret(raw).decrypt(sealed, covered) == b"XAES-256-GCM"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_what_was_encrypted_comes_back(size: int) -> None:
    secret, plain = Secret(secrets.token_bytes(32)), secrets.token_bytes(size)

    sealed = secret.encrypt(plain, b"covered")

    assert len(sealed) == size + cipher.OVERHEAD_BYTES
    assert secret.decrypt(sealed, b"covered") == plain


def test_same_message_never_looks_the_same() -> None:
    secret = Secret(secrets.token_bytes(32))

    assert len({secret.encrypt(b"plain", b"") for _ in range(100)}) == 100


def test_any_other_byte_is_found_out() -> None:
    secret = Secret(secrets.token_bytes(32))
    sealed = secret.encrypt(b"plain", b"covered")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="not what was sealed"):
            secret.decrypt(bytes(changed), b"covered")
    with pytest.raises(ValueError, match="not what was sealed"):
        secret.decrypt(sealed, b"Covered")
    with pytest.raises(ValueError, match="not what was sealed"):
        Secret(secrets.token_bytes(32)).decrypt(sealed, b"covered")


def test_any_cut_is_found_out() -> None:
    secret = Secret(secrets.token_bytes(32))
    sealed = secret.encrypt(b"plain", b"")
    for length in range(len(sealed)):
        with pytest.raises(ValueError, match=r"not what was sealed|too short"):
            secret.decrypt(sealed[:length], b"")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a key has 32 bytes"):
        Secret(bytes(size))


def test_secret_is_not_shown() -> None:
    raw = b"\x41" * 32

    assert "A" * 8 not in repr(Secret(raw)) + str(Secret(raw))
