"""One array of a zip, as numpy packs them; the bounds of a whole file: tests/control/sources/test_npz.py."""

import io
import zipfile

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.npz import Unsound, name_of, read_array


def packed(array: NDArray[np.generic], compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipFile:
    content, target = io.BytesIO(), io.BytesIO()
    np.save(content, array, allow_pickle=True)
    with zipfile.ZipFile(target, "w", compression) as archive:
        archive.writestr("x.npy", content.getvalue())
    return zipfile.ZipFile(target)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 1, 3 * 2**20])  # none, one and several chunks
def test_an_array_comes_back(compression: int, size: int) -> None:
    array = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)

    with packed(array, compression) as archive:
        (member,) = archive.infolist()
        assert name_of(member) == "x"
        np.testing.assert_array_equal(read_array(archive, member), array)


def test_what_is_refused_has_a_problem_and_a_remedy() -> None:
    with packed(np.array([{}])) as archive, pytest.raises(Unsound) as refusal:
        read_array(archive, archive.infolist()[0])

    assert refusal.value.problem == "array 'x': its values are object"
    assert str(refusal.value) == f"{refusal.value.problem}; {refusal.value.remedy}"
