"""Fuzzes one target in this process: `python -m tests.fuzz.worker TARGET REPORT [libFuzzer's options] CORPUS`.

Of a hundred new inputs, STRUCTURED are made by changing values, the others by changing bytes. The seconds of the
slowest input and the megabytes of the process, both so far, are kept in the file REPORT, because libFuzzer ends the
process and not the program; its own figure of memory includes what the parent had.
"""

import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # an extra

OURS = ["bus", "schemas", "store", "learning", "control", "edge_agent", "zipfile", "gzip", "PIL"]
STRUCTURED = 50
LOOK_EVERY = 1000

with atheris.instrument_imports(include=OURS):
    from tests.fuzz.targets import TARGETS, Target


class Reader:
    """Reads each input, and keeps the time of the slowest and the peak of memory."""

    def __init__(self, target: Target, report: Path) -> None:
        self._target = target
        self._report = report
        self._slowest_ns = 0
        self._inputs = 0

    def __call__(self, data: bytes) -> None:
        started = time.perf_counter_ns()
        with suppress(*self._target.refusals):
            self._target.read(data)
        took = time.perf_counter_ns() - started
        self._inputs += 1
        if took > self._slowest_ns or self._inputs % LOOK_EVERY == 0:
            self._slowest_ns = max(took, self._slowest_ns)
            self._report.write_text(f"{self._slowest_ns / 1e9} {peak_mb()}")


def peak_mb() -> int:
    """Return the most megabytes that this process had in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


class Mutator:
    """Makes a new input of one that is worth it."""

    def __init__(self, target: Target) -> None:
        self._form = target.form

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if self._form and random.randrange(100) < STRUCTURED:
            changed = self._form.changed(data, random)
            if changed is not None and len(changed) <= max_size:
                return changed
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated


def main() -> None:
    """Fuzz until libFuzzer has done its runs or found a crash."""
    name, report, *options = sys.argv[1:]
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    atheris.Setup(
        [sys.argv[0], *options],
        Reader(target, Path(report)),
        custom_mutator=Mutator(target) if target.form else None,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
