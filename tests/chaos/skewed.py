"""`python -m tests.chaos.skewed MODULE ARGUMENT…`: run a module with a wall clock that jumps on a signal.

SIGUSR1 sets it forward, SIGUSR2 back. As on a real machine whose time is corrected, the monotonic clock goes on as
before. Nothing is changed until the first signal.
"""

import runpy
import signal
import sys
import time

import time_machine

FORWARD_S = 3 * 3600
BACK_S = -5 * 3600


class _Clock:
    def __init__(self) -> None:
        self._travel: time_machine.travel | None = None

    def jump(self, number: int, _frame: object) -> None:
        there = time.time() + (FORWARD_S if number == signal.SIGUSR1 else BACK_S)
        if self._travel is not None:
            self._travel.stop()
        self._travel = time_machine.travel(there, tick=True)
        self._travel.start()


if __name__ == "__main__":
    clock = _Clock()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, clock.jump)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
