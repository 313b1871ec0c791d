import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import BadParameter

from control.arguments import parse_classes, parse_options, parse_size


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0-4", ("0", "1", "2", "3", "4")),
        ("7", ("7",)),
        ("cat, dog", ("cat", "dog")),
        ("0-1,9", ("0", "1", "9")),
        ("T-shirt/top,Ankle boot", ("T-shirt/top", "Ankle boot")),
    ],
)
def test_classes_are_names_and_ranges(text: str, names: tuple[str, ...]) -> None:
    assert parse_classes(text) == names


@pytest.mark.parametrize("text", ["", "a,,b", "4-0", "0-999999999", "1,0-3", "0-9999,a"])
def test_classes_that_mean_nothing_are_bad_arguments(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_classes(text)


@given(st.text())
def test_any_text_gives_distinct_names_or_a_bad_argument(text: str) -> None:
    try:
        names = parse_classes(text)
    except BadParameter:
        return
    assert names
    assert len(set(names)) == len(names)


def test_options_are_read_as_numbers_truths_and_words() -> None:
    texts = ["components=20", "rate=0.5", "full=true", "kind=diag", "empty=", "list=[1]"]
    assert parse_options(texts) == {
        "components": 20,
        "rate": 0.5,
        "full": True,
        "kind": "diag",
        "empty": "",
        "list": "[1]",
    }


@pytest.mark.parametrize("texts", [["components"], ["=3"], ["a=1", "a=2"]])
def test_options_that_cannot_be_read_are_bad_arguments(texts: list[str]) -> None:
    with pytest.raises(BadParameter):
        parse_options(texts)


def test_a_size_is_height_and_width() -> None:
    assert parse_size("32x48") == (32, 48)


@pytest.mark.parametrize("text", ["32", "32x", "ax b", "-1x3", "32x48x3", "99999x1"])
def test_a_size_that_cannot_be_read_is_a_bad_argument(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_size(text)
