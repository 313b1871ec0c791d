"""Worker processes for tests: real ones, that can really be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Worker:
    """A running `rdg worker`."""

    stages: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until_ready(self) -> None:
        """Read its log until it says that its consumers exist."""
        with self.log.open() as lines:
            while True:
                if "ready:" in lines.readline():
                    return
                if self.process.poll() is not None:
                    raise AssertionError(f"worker ended:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def workers(
    groups: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path
) -> Iterator[list[Worker]]:
    """Run one process for each group of stages, and end them all at the end."""
    started = []
    try:
        for number, stages in enumerate(groups):
            log = folder / f"worker-{number}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "workers", *stages],
                    env={**os.environ, **environment},
                    cwd=ROOT,
                    stdout=output,
                    stderr=output,
                )
            started.append(Worker(tuple(stages), process, log))
        for worker in started:
            worker.wait_until_ready()
        yield started
    finally:
        for worker in started:
            worker.kill()
