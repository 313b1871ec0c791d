from pathlib import Path

import pytest

from control.sources.errors import InvalidData, SourceError, UnknownSource, reading, writing


def test_message_is_one_line_with_place_problem_and_remedy() -> None:
    error = InvalidData(Path("a.npz"), "two\nlines", "save it again")

    assert str(error) == "a.npz: two lines; save it again"


def test_missing_file_is_an_unknown_source(tmp_path: Path) -> None:
    with (
        pytest.raises(UnknownSource, match=r"gone: there is no such file"),
        reading(tmp_path / "gone"),
    ):
        (tmp_path / "gone").read_bytes()


def test_error_without_words_is_named_by_its_type() -> None:
    with pytest.raises(InvalidData, match="a: EOFError"), reading(Path("a")):
        raise EOFError


def test_programming_error_is_not_blamed_on_the_file() -> None:
    with pytest.raises(AttributeError), reading(Path("a")):
        raise AttributeError


def test_full_disk_names_the_folder_and_the_remedy() -> None:
    with (
        pytest.raises(SourceError, match="cache: No space left on device; make room"),
        writing(Path("cache")),
    ):
        raise OSError(28, "No space left on device")
