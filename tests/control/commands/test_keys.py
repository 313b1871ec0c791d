"""`rdg keys`: files that work, what to do next, and no secret on any stream."""

import json
from pathlib import Path

from bus.keyring import read_keys
from tests.control.home import Home


def secrets_of(path: Path) -> list[str]:
    return [line.split()[2] for line in path.read_text().splitlines() if line.startswith("k-")]


def test_rotation_takes_three_steps_and_each_says_what_is_next(home: Home) -> None:
    path = home.path / "fleet.keys"
    made = home.rdg(f"keys create {path}")
    old = read_keys(path)[0].id

    added, promoted, dropped = (home.rdg(f"keys rotate {path}") for _ in range(3))

    (new,) = (key.id for key in read_keys(path))
    assert [each.code for each in (made, added, promoted, dropped)] == [0] * 4
    assert f"RDG_KEYS={path}" in made.err
    assert f"{new} opens. Now give the file to every process and start it again" in added.err
    assert f"{new} seals" in promoted.err
    assert f"only {new} is left" in dropped.err
    assert old not in dropped.out


def test_keys_are_listed_with_what_each_does(home: Home) -> None:
    path = home.path / "fleet.keys"
    home.rdg(f"keys create {path}")
    home.rdg(f"keys rotate {path}")

    listed = json.loads(home.rdg(f"keys list {path} --format json").out)

    assert [row["does"] for row in listed] == ["seals and opens", "opens"]
    assert [row["id"] for row in listed] == [key.id for key in read_keys(path)]


def test_no_secret_is_printed(home: Home) -> None:
    path = home.path / "fleet.keys"
    lines = [f"keys create {path}", f"keys rotate {path}", f"keys list {path} --format json"]

    printed = "".join(outcome.out + outcome.err for outcome in map(home.rdg, lines))

    assert len(secrets_of(path)) == 2
    assert not any(secret[:12] in printed for secret in secrets_of(path))


def test_file_that_is_there_already_is_kept(home: Home) -> None:
    path = home.path / "fleet.keys"
    home.rdg(f"keys create {path}")
    before = path.read_text()

    outcome = home.rdg(f"keys create {path}")

    assert outcome.code == 4
    assert "File exists" in outcome.err
    assert path.read_text() == before


def test_unusable_keys_of_the_settings_end_a_command_with_exit_code_2(full_home: Home) -> None:
    (full_home.path / ".env").write_text("RDG_KEYS=absent.keys\n")

    outcome = full_home.rdg("job cancel j-1")

    assert outcome.code == 2
    assert "RDG_KEYS: absent.keys: No such file or directory" in outcome.err
