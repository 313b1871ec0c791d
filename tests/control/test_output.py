import json
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from control.output import described, note, print_all, print_one


class Thing(BaseModel):
    name: str
    weight: float | None = None


COLUMNS = {"name": lambda each: each.name, "weight": lambda each: each.weight}
THINGS = [Thing(name="[bold]ä", weight=0.123456), Thing(name="b" * 300)]


def test_json_is_one_array_of_whole_documents(capsys: pytest.CaptureFixture[str]) -> None:
    print_all(THINGS, COLUMNS, "json", "none")
    assert json.loads(capsys.readouterr().out) == [each.model_dump() for each in THINGS]


def test_jsonl_is_a_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_all(THINGS, COLUMNS, "jsonl", "none")
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [each.name for each in THINGS]


def test_nothing_is_still_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    print_all([], COLUMNS, "json", "none")
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_is_not_cut_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    print_all(THINGS, COLUMNS, "table", "none")
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["NAME", "WEIGHT"]
    assert "[bold]ä" in out
    assert "0.1235" in out
    assert "b" * 300 in out


def test_an_empty_table_is_said_to_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    print_all([], COLUMNS, "table", "no things yet")
    assert capsys.readouterr() == ("", "no things yet\n")


def test_one_thing_is_lines_without_the_empty_ones(capsys: pytest.CaptureFixture[str]) -> None:
    lines = described(THINGS[1], COLUMNS) | {
        "at": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        "classes": ["a", "b"],
        "gates": {"least": 0.5},
        "none": (),
    }
    print_one(THINGS[1], lines, "table")
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in rows] == ["name", "at", "classes", "gates"]
    assert [text.strip() for _, text in rows[1:]] == ["2030-01-02 03:04:05Z", "a,b", "least=0.5"]


def test_foreign_words_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_one(THINGS[0], {"reason": "a\x1b[2Jb\nc"}, "table")
    note("x\x1b[31my")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert len(out.splitlines()) == 1
