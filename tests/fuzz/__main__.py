"""`python -m tests.fuzz [TARGET…] [--runs N] [--seed S]`: coverage-guided fuzzing of what reads bytes from outside.

N is the number of inputs over all the targets, which take their shares of it. Prints a table, keeps what made a
reader crash, hang or swell under build/fuzz, and then ends with 1. An input may take TIMEOUT_S and the process
RSS_LIMIT_MB. With the same seed and versions, the same inputs are made.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

TIMEOUT_S = 10
RSS_LIMIT_MB = 1024
LONG_FORM = 10_200_000
ARTIFACTS = Path("build/fuzz")
HEADINGS = (
    "target",
    "inputs",
    "inputs/s",
    "coverage",
    "features",
    "corpus",
    "crashes",
    "slowest ms",
    "peak MB",
)


@dataclass(frozen=True)
class Row:
    """How a target did. `coverage`: edges of our code reached; `features`: edges by how often they were taken."""

    target: str
    inputs: int
    rate: int
    coverage: int
    features: int
    corpus: int
    crashes: int
    slowest_ms: float
    peak_mb: int


def fuzz(name: str, target: Target, runs: int, seed: int) -> Row:
    """Fuzz one target in a process of its own."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        corpus, report = Path(scratch) / "corpus", Path(scratch) / "slowest"
        corpus.mkdir()
        for number, data in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz.worker", name, str(report)]
        started = time.monotonic()
        done = subprocess.run(
            [*command, *_options(name, target, runs, seed), str(corpus)],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - started
        if done.returncode:
            sys.stderr.write(done.stdout[-4000:] + done.stderr[-8000:])
        measured = report.read_text().split() if report.exists() else ["0", "0"]
    return _row(name, done.stderr, done.returncode, measured, seconds)


def _options(name: str, target: Target, runs: int, seed: int) -> list[str]:
    return [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-max_len={target.max_len}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        f"-artifact_prefix={ARTIFACTS}/{name}-",
        "-keep_seed=1",
        "-print_final_stats=1",
    ]


def _row(name: str, log: str, code: int, measured: Sequence[str], seconds: float) -> Row:
    inputs = _last(r"stat::number_of_executed_units:\s+(\d+)", log)
    return Row(
        name,
        inputs,
        round(inputs / seconds),
        _last(r"cov: (\d+)", log),
        _last(r"ft: (\d+)", log),
        _last(r"corp: (\d+)", log),
        int(code != 0),
        round(float(measured[0]) * 1000, 1),
        int(measured[1]),
    )


def _last(pattern: str, log: str) -> int:
    found = re.findall(pattern, log)
    return int(found[-1]) if found else 0


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(astuple(row) for row in rows)]
    cells = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets asked for, one after the other; return 1 if one of them crashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
    parser.add_argument("--runs", type=int, default=LONG_FORM, help="inputs over all targets")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    if find_spec("atheris") is None:
        sys.stderr.write("fuzzing is skipped: install the extra `fuzz` (Linux alone has it)\n")
        return int("CI" in os.environ)
    chosen = {name: TARGETS[name] for name in asked.targets or TARGETS}
    shares = sum(target.share for target in chosen.values())
    rows = []
    for name, target in chosen.items():
        rows.append(fuzz(name, target, asked.runs * target.share // shares, asked.seed))
        sys.stderr.write(f"{table(rows[-1:]).splitlines()[-1]}\n")
    total, crashes = sum(row.inputs for row in rows), sum(row.crashes for row in rows)
    sys.stdout.write(f"{table(rows)}\n\n{total:,} inputs, {crashes} crashes, seed {asked.seed}\n")
    return int(crashes > 0 or total < sum(asked.runs * t.share // shares for t in chosen.values()))


if __name__ == "__main__":
    sys.exit(main())
