import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.control.home import Home
from tests.control.world import labelled


@pytest.fixture
def npz(home: Home) -> Path:
    given = labelled(tuple("0123"))
    path = home.path / "own.npz"
    np.savez(path, samples=given.samples, labels=given.labels)
    return path


def test_a_file_is_added_listed_shown_and_deleted(home: Home, npz: Path) -> None:
    added = home.rdg(f"data add mine --from {npz} --classes 2-3 --format json")
    listed = home.rdg("data list --format jsonl")
    shown = home.rdg("data show mine")
    deleted = home.rdg("data delete mine --force")

    assert json.loads(added.out)["classes"] == ["2", "3"]
    assert [json.loads(line)["id"] for line in listed.out.splitlines()] == ["mine"]
    assert "3 train, 0 test" in shown.out
    assert [added.code, listed.code, shown.code, deleted.code] == [0, 0, 0, 0]
    assert home.rdg("data list --format json").out == "[]\n"


def test_a_folder_of_images_is_resized_when_asked(home: Home) -> None:
    for name, side in (("cat", 5), ("dog", 7)):
        (home.path / "photos" / name).mkdir(parents=True)
        Image.new("L", (side, side)).save(home.path / "photos" / name / "a.png")

    added = home.rdg("data add pets --from ./photos --size 6x4 --format json")

    assert json.loads(added.out)["shape"] == [6, 4]
    assert "resized" in added.err


def test_what_was_done_to_the_data_is_said(home: Home) -> None:
    np.savez(home.path / "f.npz", samples=np.zeros((4, 2, 2)), labels=[0, 0, 1, 1])
    assert "scaled by 255" in home.rdg("data add mine --from f.npz").err


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("data add nowhere", 4, "nowhere: it is no known source"),
        ("data add x --from gone.npz", 4, "there is no such file"),
        ("data add Bad! --from own.npz", 4, "'Bad!' cannot be a name"),
        ("data add x --from own.npz --classes 9", 4, "no class is named '9'"),
        ("data add x --from own.npz --classes 3-1", 4, "a range goes up"),
        ("data add x --from own.npz --size 4", 4, "write height and width as 32x32"),
        ("data add x --from own.npz --size 4x4", 4, "size is for a folder"),
        ("data add", 4, "name"),
        ("data show nope", 1, "rdg data list"),
        ("data delete nope --force", 1, "rdg data list"),
        ("data list --limit 0", 4, "limit"),
        ("data list --before nope", 1, "nope"),
        ("data list --format yaml", 4, "yaml"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    home: Home, npz: Path, line: str, code: int, says: str
) -> None:
    outcome = home.rdg(line)
    assert outcome.code == code
    assert says in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert home.rdg("data list --format json").out == "[]\n"


def test_deleting_needs_force_where_nobody_can_be_asked(full_home: Home) -> None:
    outcome = full_home.rdg("data delete digits")
    assert (outcome.code, "--force" in outcome.err) == (4, True)
    assert full_home.rdg("data show digits").code == 0


def test_a_taken_name_is_refused(full_home: Home) -> None:
    given = labelled(("a", "b"))
    np.savez(full_home.path / "own.npz", samples=given.samples, labels=given.labels)
    outcome = full_home.rdg("data add digits --from own.npz")
    assert (outcome.code, "choose another name" in outcome.err) == (1, True)
