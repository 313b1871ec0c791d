"""The command against a running `rdg up`, each in a process of its own: from a file to a released model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.control.world import labelled


def rdg(home: Path, line: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "RDG_HOME": str(home)}
    command = [sys.executable, "-m", "control.cli", *line.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


@contextmanager
def up(home: Path) -> Iterator[None]:
    env = {**os.environ, "RDG_HOME": str(home)}
    command = [sys.executable, "-m", "control.cli", "up"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr
        for line in process.stderr:
            if "ready" in line:
                break
        yield
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_from_a_file_to_a_released_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    given = labelled(tuple("0123"), per_class=12)
    np.savez(home / "own.npz", samples=given.samples, labels=given.labels)
    source = f"--from {home / 'own.npz'}"
    quick = "--epochs 2 --wait --timeout 100 --format json"

    with up(home):
        done = [
            rdg(home, f"data add old {source} --classes 0-1"),
            rdg(home, f"data add new {source} --classes 2-3"),
            rdg(home, f"model train --model m --data old --generator original {quick}"),
            rdg(
                home,
                "job submit --model m --new-data new --generator original --classes 0-1 --count 5 "
                f"--min-confidence 0 {quick}",
            ),
            rdg(home, "model lineage m --format json"),
            rdg(home, "doctor"),
        ]

    assert [each.returncode for each in done] == [0] * len(done), [each.stderr for each in done]
    assert json.loads(done[3].stdout)["result"] == "m@2"
    line = json.loads(done[4].stdout)
    assert [each["classes"] for each in line] == [["0", "1", "2", "3"], ["0", "1"]]
