"""How a benchmark prints: the environment that decides the figures, then tables."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def heading(seed: int, distributions: Iterable[str], **settings: object) -> None:
    """Print the command, the machine, the versions and the settings."""
    arguments = shlex.join(sys.argv[1:])
    module = Path(sys.argv[0]).stem
    print(f"$ python -m benchmarks.{module} {arguments}".rstrip())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{cores} cores, {platform.machine()}, {platform.system()}; Python {platform.python_version()}"
    )
    print(", ".join(f"{name} {version_of(name)}" for name in distributions))
    shown = ", ".join(f"{name} {value}" for name, value in settings.items())
    print(f"seed {seed}" + (f", {shown}" if shown else ""))


def version_of(distribution: str) -> str:
    """Return the installed version, or "missing"."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table that is aligned for the terminal too: columns with figures to the right."""
    listed = [tuple(row) for row in rows]
    cells = [tuple(columns), *(tuple(map(_text, row)) for row in listed)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    figures = [
        any(isinstance(value, int | float) for value in column)
        for column in zip(*listed, strict=True)
    ]
    rule = [
        "-" * (width - 1) + (":" if right else "-")
        for width, right in zip(widths, figures, strict=True)
    ]
    print(f"\n{title}\n")
    for row in (cells[0], rule, *cells[1:]):
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, figures, strict=True)
        ]
        print(f"| {' | '.join(aligned)} |", flush=True)


def _text(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
