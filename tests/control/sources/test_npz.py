import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from control.sources import labelled, npz
from control.sources.errors import InvalidData, UnknownSource
from tests.control.sources.files import unless_refused
from tests.fuzz.memory import peak_bytes

MATRIX = np.arange(6, dtype=np.int16).reshape(2, 3)


def npy_bytes(array: NDArray[np.generic], allow_pickle: bool = False) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, allow_pickle=allow_pickle)
    return target.getvalue()


def zip_file(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "array",
    [
        MATRIX,
        np.asfortranarray(MATRIX),
        MATRIX.astype(">f8"),
        np.array(["cat", "owl"]),
        np.array([True, False]),
        np.zeros((0, 3)),
        np.array(7),
    ],
)
def test_what_numpy_saves_comes_back(tmp_path: Path, array: NDArray[np.generic]) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=array)

    loaded = npz.load(tmp_path / "a.npz")["x"]

    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype


def test_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    objects = npy_bytes(np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(InvalidData, match=r"a\.npz: array 'classes': its values are object; save"):
        npz.load(zip_file(tmp_path / "a.npz", classes=objects))


@pytest.mark.parametrize("dtype", ["M8[s]", "c8", "i4,i4", "V3"])
def test_values_of_other_kinds_are_refused(tmp_path: Path, dtype: str) -> None:
    content = npy_bytes(np.zeros(2, dtype=np.dtype(dtype)))

    with pytest.raises(InvalidData, match="its values are"):
        npz.load(zip_file(tmp_path / "a.npz", x=content))


@pytest.mark.parametrize("content", [b"", b"x", b"\x93NUMPY\x07\x00aaaa", npy_bytes(MATRIX)[:20]])
def test_member_that_is_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidData, match=r"a\.npz: array 'x' is no \.npy file"):
        npz.load(zip_file(tmp_path / "a.npz", x=content))


def test_header_that_claims_more_than_there_is_is_refused_before_allocating(
    tmp_path: Path,
) -> None:
    claim = npy_bytes(MATRIX).replace(b"(2, 3)", b"(2000000000, 3000000000)")
    claim = claim[:8] + struct.pack("<H", 118 + 18) + claim[10:]

    with pytest.raises(InvalidData, match="'x' has 12 bytes, its header claims 12,000,000"):
        npz.load(zip_file(tmp_path / "a.npz", x=claim))


def test_negative_shape_is_refused(tmp_path: Path) -> None:
    content = npy_bytes(MATRIX).replace(b"(2, 3),", b"(-2,-3)")

    with pytest.raises(InvalidData, match=r"its shape is \(-2, -3\)"):
        npz.load(zip_file(tmp_path / "a.npz", x=content))


@pytest.mark.parametrize("change", [-1, 1])
def test_values_cut_short_or_too_many_are_refused(tmp_path: Path, change: int) -> None:
    content = (npy_bytes(MATRIX) + b"x")[: len(npy_bytes(MATRIX)) + change]

    with pytest.raises(InvalidData, match=f"'x' has {12 + change} bytes, its header claims 12"):
        npz.load(zip_file(tmp_path / "a.npz", x=content))


def test_zip_bomb_is_refused_by_its_declared_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zip_file(tmp_path / "a.npz", x=bytes(10**6), y=bytes(10**6))
    monkeypatch.setattr(labelled, "MAX_BYTES", 15 * 10**5)

    with pytest.raises(InvalidData, match="take 2,000,000 bytes, over the limit of 1,500,000"):
        npz.load(path)


def test_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = npy_bytes(np.zeros(10**6, dtype=np.uint8))
    path = zip_file(tmp_path / "a.npz", x=content)
    size = struct.pack("<I", len(content))
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 200)))

    with pytest.raises(InvalidData, match="Bad CRC-32 for file"):
        npz.load(path)


def test_bomb_that_claims_to_be_small_takes_little_memory(tmp_path: Path) -> None:
    content = npy_bytes(np.zeros(100, dtype=np.uint8)) + bytes(64 * 2**20)
    path = zip_file(tmp_path / "a.npz", x=content)
    size = struct.pack("<I", len(content))
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 228)))

    def read() -> None:
        with pytest.raises(InvalidData, match="Bad CRC-32 for file"):
            npz.load(path)

    assert peak_bytes(read) < 2**20


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_unpacks_without_a_bound_is_refused(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
        archive.writestr("x.npy", npy_bytes(MATRIX))

    with pytest.raises(InvalidData, match=r"array 'x' is packed in an unusual way; save it with"):
        npz.load(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", ["(0, 10**30)", "(0, 9999999999999999999999)", "(0," * 40])
def test_shape_that_no_array_can_have_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header

    with pytest.raises(InvalidData, match=r"array 'x'(: its shape is| is no \.npy file)"):
        npz.load(zip_file(tmp_path / "a.npz", x=content))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    members = {f"x{number}": npy_bytes(MATRIX) for number in range(65)}

    with pytest.raises(InvalidData, match="it holds 65 files; give at most 64"):
        npz.load(zip_file(tmp_path / "a.npz", **members))


def test_damaged_values_are_found_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.full(50, 77, dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"M" * 50, b"M" * 49 + b"N"))

    with pytest.raises(InvalidData, match="Bad CRC-32"):
        npz.load(path)


def test_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=MATRIX)
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(InvalidData, match="File is not a zip file"):
        npz.load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match=r"gone\.npz: there is no such file"):
        npz.load(tmp_path / "gone.npz")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None
)
@given(head=st.sampled_from([b"", b"PK\x03\x04", npy_bytes(MATRIX)]), tail=st.binary(max_size=80))
def test_arbitrary_files_raise_nothing_but_source_errors(
    tmp_path: Path, head: bytes, tail: bytes
) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(head + tail)

    assert unless_refused(lambda: npz.load(path)) is None


HEADER = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="{}()[]'\"\\,:-+ \n0123456789descrfotna_Ulhp<iV", max_size=200).map(
        str.encode
    ),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None
)
@given(version=st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00"]), header=HEADER)
def test_arbitrary_headers_raise_nothing_but_source_errors(
    tmp_path: Path, version: bytes, header: bytes
) -> None:
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    path = zip_file(tmp_path / "a.npz", x=b"\x93NUMPY" + version + length + header)

    assert unless_refused(lambda: npz.load(path)) is None


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500, deadline=None
)
@given(place=st.integers(0, 1000), value=st.integers(0, 255))
def test_one_wrong_byte_raises_nothing_but_source_errors(
    tmp_path: Path, place: int, value: int
) -> None:
    content = bytearray(zip_file(tmp_path / "a.npz", x=npy_bytes(MATRIX)).read_bytes())
    content[place % len(content)] = value
    (tmp_path / "a.npz").write_bytes(content)

    loaded = unless_refused(lambda: npz.load(tmp_path / "a.npz"))

    assert loaded is None or len(loaded) <= 1
