"""The file of keys: made, read, rotated, and refused with a line that shows no secret."""

import stat
from base64 import b64encode
from pathlib import Path

import pytest

from bus.keyring import create, read_keys, rotate

SECRET = b64encode(bytes(range(32))).decode()
LINE = f"k-1 2026-05-11T09:30:00+00:00 {SECRET}"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_created_file_holds_one_key_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.keys"

    key = create(path)

    assert read_keys(path) == (key,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_new_keys_differ(tmp_path: Path) -> None:
    one, other = create(tmp_path / "one"), create(tmp_path / "other")

    assert (one.id, one.secret) != (other.id, other.secret)
    assert one.secret != other.secret


def test_file_is_not_created_over_another(tmp_path: Path) -> None:
    path = written(tmp_path / "fleet.keys", LINE)

    with pytest.raises(ValueError, match=r"fleet\.keys: File exists"):
        create(path)

    assert path.read_text() == LINE


def test_keys_are_read_in_their_order_between_comments(tmp_path: Path) -> None:
    other = LINE.replace("k-1", "k-2")
    path = written(tmp_path / "fleet.keys", f"# of May\n\n{LINE}\n  \n{other}  \n")

    assert [key.id for key in read_keys(path)] == ["k-1", "k-2"]
    assert read_keys(path)[0].secret.raw == bytes(range(32))


def test_rotation_adds_promotes_and_drops(tmp_path: Path) -> None:
    path = tmp_path / "fleet.keys"
    old = create(path)

    added = rotate(path)
    promoted = rotate(path)
    dropped = rotate(path)

    assert added[0] == old
    new = added[1]
    assert (len(added), promoted, dropped) == (2, (new, old), (new,))
    assert read_keys(path) == (new,)


def test_rotation_keeps_who_may_read_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "fleet.keys"
    create(path)
    path.chmod(0o640)

    rotate(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_rotation_knows_the_newest_key_whatever_the_clock_said(tmp_path: Path) -> None:
    ahead = LINE.replace("2026", "2099")
    path = written(tmp_path / "fleet.keys", ahead)

    new = rotate(path)[1]

    assert [key.id for key in rotate(path)] == [new.id, "k-1"]


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_file_that_every_user_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "fleet.keys", LINE)
    path.chmod(mode)

    with pytest.raises(ValueError, match=r"fleet\.keys is open to every user.*chmod o="):
        read_keys(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no key; `rdg keys create`"),
        ("# nothing\n", "holds no key"),
        (LINE.replace(SECRET, SECRET[4:]), "line 1: expected an id, a time and 32 bytes in base64"),
        (LINE.replace("k-1", "K 1"), "line 1: expected"),
        (LINE.replace("2026-05-11T09:30:00+00:00", "today"), "line 1: expected"),
        (f"{LINE}\nk-2 {SECRET}", "line 2: expected"),
        (f"{LINE}\n{LINE}", "two keys have one id"),
        ("kéy", "is no file of keys"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_its_secrets(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        read_keys(written(tmp_path / "fleet.keys", text))

    assert SECRET[4:12] not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fleet\.keys: No such file"):
        read_keys(tmp_path / "fleet.keys")


def test_no_representation_of_a_key_shows_its_secret(tmp_path: Path) -> None:
    (key,) = read_keys(written(tmp_path / "fleet.keys", LINE))

    shown = repr(key) + str(key)

    assert "k-1" in shown
    assert SECRET not in shown
    assert repr(bytes(range(32)))[2:20] not in shown
