"""What is said of a value from outside is one short line, whatever the value chose for its names."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError

from schemas.limits import AtMost
from schemas.names import ClassName
from schemas.problems import problems_of


class Box(BaseModel):
    size: int
    labels: Annotated[dict[ClassName, int], AtMost(3)] = {}
    places: Annotated[tuple[int, ...], AtMost(3)] = ()


def said(value: object) -> str:
    with pytest.raises(ValidationError) as refusal:
        Box.model_validate(value)
    return problems_of(refusal.value)


def test_each_field_is_named_with_its_problem() -> None:
    assert said({"labels": {"cat": "x"}}) == (
        "size: Field required; labels.cat: Input should be a valid integer, "
        "unable to parse string as an integer"
    )


def test_a_value_that_is_no_map_is_the_body() -> None:
    assert said(7).startswith("body: Input should be a valid dictionary")


def test_only_the_first_few_are_told() -> None:
    assert said({"size": "x", "labels": {str(n): "x" for n in range(3)}}).count(";") == 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a" * 1000, "a" * 64 + "..."),
        ("cat\nFATAL: all is lost", r"'cat\nFATAL: all is lost'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("\u202ecat", r"'\u202ecat'"),
    ],
)
def test_a_name_from_outside_is_cut_and_escaped(name: str, shown: str) -> None:
    assert f"labels.{shown}" in said({"size": 1, "labels": {name: "x"}})


@pytest.mark.parametrize("field", ["labels", "places"])
@pytest.mark.parametrize("made", [list, dict.fromkeys])
def test_entries_are_counted_before_any_is_looked_at(field: str, made: type) -> None:
    entries = made(map(str, range(1000)))

    assert said({"size": 1, field: entries}) == (f"{field}: Value error, 1000 entries, at most 3")
