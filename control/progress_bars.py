"""A job's progress on stderr: bars on a terminal, lines where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Display

from schemas.flow import Progress


@contextmanager
def job_bars() -> Iterator[Callable[[Progress], None]]:
    """Show a bar for each stage while the context is open; give each step of the job to what this yields."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console).show
        return
    with Display(
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=False,
    ) as display:
        yield _Bars(display).show


@contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar of bytes while the context is open; may be told from another thread."""
    with Display(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as display:
        row = display.add_task(what, total=None)
        yield lambda done, total: display.update(row, completed=done, total=total)


class _Bars:
    def __init__(self, display: Display) -> None:
        self._display = display
        self._rows: dict[str, TaskID] = {}

    def show(self, step: Progress) -> None:
        if step.stage not in self._rows:
            self._rows[step.stage] = self._display.add_task(step.stage, note="")
        done, total = (step.done, step.total) if step.total else (1, 1)  # a stage of one step
        self._display.update(self._rows[step.stage], completed=done, total=total, note=step.note)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ("", "")

    def show(self, step: Progress) -> None:
        if (step.stage, step.state) != self._last:
            self._last = (step.stage, step.state)
            text = f"{step.job}: {step.stage} ({step.state}) {step.note}".rstrip()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
