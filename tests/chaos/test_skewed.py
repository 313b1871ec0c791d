"""A skewed process lives in another time of day, by the same clock."""

import signal
import subprocess
import sys

import pytest

from tests.chaos.skewed import BACK_S, FORWARD_S
from tests.chaos.unit import ROOT

PROGRAM = """
import signal, sys, time
monotonic, began = time.monotonic(), time.time()
print("ready", flush=True)
sys.stdin.readline()
print(round(time.time() - began), round(time.monotonic() - monotonic), flush=True)
"""


@pytest.mark.parametrize(
    ("signals", "jump_s"),
    [
        ([signal.SIGUSR1], FORWARD_S),
        ([signal.SIGUSR2], BACK_S),
        ([signal.SIGUSR1, signal.SIGUSR2], FORWARD_S + BACK_S),
    ],
)
def test_signal_moves_the_time_of_day_and_not_the_clock(
    tmp_path_factory: pytest.TempPathFactory, signals: list[signal.Signals], jump_s: int
) -> None:
    folder = tmp_path_factory.mktemp("skewed")
    (folder / "told.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.skewed", "told"],
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        for number in signals:
            process.send_signal(number)
        output, _ = process.communicate("go on\n", timeout=60)
    time_of_day, clock = map(int, output.split())
    assert abs(time_of_day - jump_s - clock) <= 2
    assert clock < 60
