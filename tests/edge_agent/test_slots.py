"""Whatever happens, the state directory holds a whole version: the old one or the new one."""

import errno
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.errors import Invalid, Occupied, Refused
from edge_agent.slots import Slots, opened
from schemas.flow import ModelReleased
from tests.edge_agent.releases import flipped, parameters, release, split

STEPS = 14  # four files, each synced, renamed and its folder synced; then two parts removed
RENAME_OF_CURRENT = 10


class Crash(BaseException):
    """The end of the process, at one of its steps."""


def keep(slots: Slots, *releases: ModelReleased) -> None:
    running = slots.load()
    replaced = running.manifest if running else None
    for released in releases:
        slots.keep(released.manifest, released.parts, replaced)
        replaced = released.manifest


def version_in(root: Path) -> int | None:
    model = Slots(root).load()
    return model.manifest.version if model else None


def part_file(root: Path, released: ModelReleased, part: int) -> Path:
    return root / "parts" / f"{released.manifest.parts[part].digest}.safetensors"


def damage(file: Path) -> None:
    file.write_bytes(flipped(file.read_bytes(), -1))


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end just before its `step`-th change of the disk from now on."""
    steps = iter(range(1_000_000))

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            if next(steps) == step:
                raise Crash
            return call(*arguments)

        return run

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))


def test_empty_directory_holds_nothing(tmp_path: Path) -> None:
    assert Slots(tmp_path / "none").load() is None


def test_kept_version_survives_a_restart(tmp_path: Path) -> None:
    released = release(4)
    with opened(tmp_path / "deep" / "state") as slots:
        keep(slots, released)

    model = Slots(tmp_path / "deep" / "state").load()

    assert model is not None
    assert model.manifest == released.manifest


@pytest.mark.parametrize("part", [0, 1])
def test_damaged_part_falls_back_to_the_previous_version(
    tmp_path: Path, part: int, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
    damage(part_file(tmp_path, release(2), part))

    assert version_in(tmp_path) == 1
    assert "current.json cannot be used: part" in caplog.text


def test_damaged_manifest_falls_back_to_the_previous_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
    (tmp_path / "current.json").write_bytes(b"{")

    assert version_in(tmp_path) == 1
    assert "current.json cannot be used: it is damaged" in caplog.text


def test_two_damaged_versions_leave_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
    damage(part_file(tmp_path, release(1), 1))
    part_file(tmp_path, release(2), 0).unlink()

    assert version_in(tmp_path) is None
    assert len(caplog.records) == 2


def test_version_kept_again_heals_its_damaged_parts(tmp_path: Path) -> None:
    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
        damage(part_file(tmp_path, release(2), 0))

        keep(slots, release(2))

    assert version_in(tmp_path) == 2


def test_two_versions_are_kept_and_older_parts_removed(tmp_path: Path) -> None:
    head = split(parameters(1))["head"]
    releases = [release(n, named={**split(parameters(n)), "head": head}) for n in (1, 2, 3)]
    with opened(tmp_path) as slots:
        keep(slots, *releases)

    files = {file.stem for file in (tmp_path / "parts").iterdir()}

    assert files == releases[1].parts.keys() | releases[2].parts.keys()
    assert len(files) == 3


def test_full_disk_refuses_and_the_version_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with opened(tmp_path) as slots:
        keep(slots, release(1))
        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(Refused, match="does not take it: No space left on device"):
            keep(slots, release(2))

    assert version_in(tmp_path) == 1


@pytest.mark.parametrize("step", range(STEPS))
def test_crash_at_any_step_leaves_the_old_or_the_new_version_whole(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
        with monkeypatch.context() as patch:
            crash_at(step, patch)
            with pytest.raises(Crash):
                keep(slots, release(3))

        assert version_in(tmp_path) == (2 if step <= RENAME_OF_CURRENT else 3)
        assert caplog.text == ""
        keep(slots, release(4))

    assert version_in(tmp_path) == 4
    assert len(list((tmp_path / "parts").iterdir())) == 4


def test_killed_process_never_leaves_a_broken_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    command = [sys.executable, "-m", "tests.edge_agent.swapping", str(tmp_path)]
    for _ in range(10):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            kept = [int(process.stdout.readline()) for _ in range(chance.randint(1, 5))]
            time.sleep(chance.uniform(0, 0.03))  # the moment of the kill is the point
            process.kill()
            kept += [int(line) for line in process.stdout]

        version = version_in(tmp_path)

        assert version in (kept[-1], kept[-1] + 1)
        assert caplog.text == ""


def test_second_agent_on_the_directory_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.edge_agent.swapping", str(tmp_path)]
    with opened(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        assert f"Occupied: {tmp_path}: another agent uses it" in second.stderr
    with opened(tmp_path):  # free again
        pass


def test_second_agent_of_this_process_is_refused_too(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(Occupied, match="give another --state"), opened(tmp_path):
        pass


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(Invalid, match="file/state: Not a directory"),
        opened(tmp_path / "file/state"),
    ):
        pass


def test_removing_old_parts_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with opened(tmp_path) as slots:
        keep(slots, release(1), release(2))
        monkeypatch.setattr(Path, "unlink", read_only)
        with caplog.at_level(logging.WARNING, "rdg.agent"):
            keep(slots, release(3))

    assert version_in(tmp_path) == 3
    assert "keeps parts that nothing lists" in caplog.text
