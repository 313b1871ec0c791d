import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.sources import idx
from control.sources.errors import InvalidData, UnknownSource
from tests.control.sources.files import idx_bytes, idx_folder, unless_refused

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CLASSES = tuple("0123456789")


def test_both_splits_are_read_with_their_labels(tmp_path: Path) -> None:
    splits = idx.read(idx_folder(tmp_path), CLASSES)

    assert splits.test is not None
    assert splits.train.samples.shape == (20, 4, 3)
    assert splits.train.samples[13].tolist() == [[13] * 3] * 4
    assert splits.train.labels.tolist() == [*range(10), *range(10)]
    assert splits.test.labels.tolist() == [*range(10)]
    assert splits.train.samples.flags.writeable


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_gzipped_files_give_the_same(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(IMAGES)))

    np.testing.assert_array_equal(idx.read_array(path, 3), IMAGES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it begins with nothing, not 00 00 08 03"),
        (b"\x00\x00\x08\x01" + bytes(20), "it begins with 00 00 08 01, not 00 00 08 03"),
        (b"\x00\x00\x0d\x03" + bytes(20), "it begins with 00 00 0d 03"),
        (idx_bytes(IMAGES)[:9], "its header is cut short"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "its header claims no values"),
        (idx_bytes(IMAGES)[:-1], "its header claims 24 bytes, it has fewer|23 of 24 bytes"),
        (idx_bytes(IMAGES) + b"x", "bytes after the 24"),
        (gzip.compress(idx_bytes(IMAGES)[:-1]), "23 of 24 bytes: cut short"),
        (gzip.compress(idx_bytes(IMAGES))[:-12], "Compressed file ended"),
        (gzip.compress(idx_bytes(IMAGES) + b"x"), "bytes after the 24"),
    ],
)
def test_malformed_file_is_refused_with_its_fault(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)

    with pytest.raises(InvalidData, match=f"images: .*({problem})"):
        idx.read_array(path, 3)


def test_absurd_size_is_refused_before_allocating(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(b"\x00\x00\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1))

    with pytest.raises(InvalidData, match="over the limit"):
        idx.read_array(path, 3)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_size_that_the_file_cannot_hold_is_refused(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "images"
    path.write_bytes(pack(b"\x00\x00\x08\x03" + struct.pack(">3I", 1000, 1000, 1000)))

    with pytest.raises(InvalidData, match="its header claims 1,000,000,000 bytes, it has fewer"):
        idx.read_array(path, 3)


def test_labels_for_other_images_are_refused(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(
        (folder / "train-labels-idx1-ubyte.gz").read_bytes()
    )

    with pytest.raises(InvalidData, match="20 labels for the 10 images of t10k-images"):
        idx.read(folder, CLASSES)


def test_missing_file_is_named(tmp_path: Path) -> None:
    (idx_folder(tmp_path) / "t10k-images-idx3-ubyte.gz").unlink()

    with pytest.raises(UnknownSource, match=r"t10k-images-idx3-ubyte\.gz: there is no such file"):
        idx.read(tmp_path, CLASSES)


HEADS = (b"", b"\x00\x00\x08\x03", b"\x1f\x8b\x08\x00", idx_bytes(IMAGES)[:16])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=64), packed=st.booleans())
def test_arbitrary_bytes_raise_nothing_but_source_errors(
    tmp_path: Path, head: bytes, tail: bytes, packed: bool
) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(head + tail) if packed else head + tail)

    array = unless_refused(lambda: idx.read_array(path, 3))

    assert array is None or idx_bytes(array) == head + tail


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(place=st.integers(0, 60), value=st.integers(0, 255))
def test_one_wrong_byte_in_a_gzip_file_raises_nothing_but_source_errors(
    tmp_path: Path, place: int, value: int
) -> None:
    content = bytearray(gzip.compress(idx_bytes(IMAGES), mtime=0))
    content[place % len(content)] = value
    path = tmp_path / "images"
    path.write_bytes(content)

    array = unless_refused(lambda: idx.read_array(path, 3))

    assert array is None or np.array_equal(array, IMAGES)
