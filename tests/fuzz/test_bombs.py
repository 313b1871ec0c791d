"""Small inputs that ask for much: each is refused, in bounded memory, and none hangs."""

import json
import subprocess
import sys

ALL_S = 170
MOST_MEGABYTES = 96


def test_every_bomb_is_refused_in_bounded_memory() -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.fuzz.bombs"]

    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=ALL_S)

    outcomes = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(outcomes) > 40
    assert [each for each in outcomes if each["error"] != each["expected"]] == []
    assert [each for each in outcomes if each["megabytes"] > MOST_MEGABYTES] == []
