import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from control.sources import Splits, read
from control.sources.errors import InvalidData, UnknownSource
from tests.control.sources.files import idx_folder, image


def read_source(source: str, tmp_path: Path, size: tuple[int, int] | None = None) -> Splits:
    return read(source, data_dir=tmp_path, cache_dir=tmp_path / "cache", size=size)


def test_name_of_a_public_set_reads_that_set(tmp_path: Path) -> None:
    idx_folder(tmp_path / "mnist")

    assert read_source("mnist", tmp_path).train.samples.shape == (20, 4, 3)


def test_path_to_a_folder_reads_its_images(tmp_path: Path) -> None:
    image(tmp_path / "own" / "cat" / "a.png", 1)

    assert read_source(str(tmp_path / "own"), tmp_path).train.samples.shape == (1, 3, 4)
    assert read_source(str(tmp_path / "own"), tmp_path, (5, 6)).train.samples.shape == (1, 5, 6)


def test_path_to_an_npz_file_reads_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((2, 3)), y=np.arange(2))

    assert read_source(str(tmp_path / "own.npz"), tmp_path).train.samples.shape == (2, 3)


def test_public_name_means_the_public_set_and_a_path_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "digits" / "cat" / "a.png", 1)
    monkeypatch.chdir(tmp_path)

    assert len(read_source("digits", tmp_path).train.classes) == 10
    assert read_source("./digits", tmp_path).train.classes == ("cat",)


@pytest.mark.parametrize("source", ["svhn", "", "own.csv"])
def test_unknown_source_lists_the_choices(tmp_path: Path, source: str) -> None:
    source = str(tmp_path / source) if source.endswith("csv") else source

    with pytest.raises(UnknownSource, match=r"give one of digits, mnist.* \.npz file, or a folder"):
        read_source(source or "nothing", tmp_path)


def test_missing_npz_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match=r"gone\.npz: there is no such file"):
        read_source(str(tmp_path / "gone.npz"), tmp_path)


def test_size_for_anything_but_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="digits: size is for a folder of images; leave it out"):
        read_source("digits", tmp_path, (8, 8))


def test_front_door_loads_no_learning_library() -> None:
    script = "import sys, control.sources; print({'sklearn', 'torch'} & set(sys.modules))"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert result.stdout == b"set()\n"
