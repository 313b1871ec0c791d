import gzip
import hashlib
from pathlib import Path

import pytest

from control.sources import content
from control.sources.content import content_sha256
from control.sources.errors import InvalidData


def test_checksum_is_of_the_content_however_it_is_packed(tmp_path: Path) -> None:
    plain, fast, small = (tmp_path / name for name in ("plain", "fast.gz", "small.gz"))
    plain.write_bytes(b"samples" * 1000)
    fast.write_bytes(gzip.compress(b"samples" * 1000, 1, mtime=1))
    small.write_bytes(gzip.compress(b"samples" * 1000, 9, mtime=2))

    digests = {content_sha256(path) for path in (plain, fast, small)}

    assert fast.read_bytes() != small.read_bytes()
    assert digests == {hashlib.sha256(b"samples" * 1000).hexdigest()}


def test_cut_gzip_has_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(bytes(range(256)))[:-9])

    with pytest.raises(InvalidData, match=r"cut\.gz: "):
        content_sha256(path)


def test_gzip_bomb_is_stopped_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_BYTES", 10**6)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(10**7)))

    with pytest.raises(InvalidData, match="it unpacks to over 1,000,000 bytes"):
        content_sha256(path)
