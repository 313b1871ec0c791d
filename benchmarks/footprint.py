"""What a worker process weighs: memory, whether torch is loaded, and how long it took to be ready. Linux only."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from tests.pipeline.processes import Worker

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """One process at one moment.

    Attributes:
        rss: Memory it has mapped and in use, in bytes, shared pages included.
        pss: The same with each shared page divided by the number of processes that share it.
        has_torch: Whether torch's library is mapped into it.

    """

    rss: int
    pss: int
    has_torch: bool

    @property
    def cells(self) -> tuple[object, ...]:
        """As printed: MiB, MiB, loaded or not."""
        return self.rss / MEBIBYTE, self.pss / MEBIBYTE, "loaded" if self.has_torch else "no"


def footprint_of(pid: int) -> Footprint:
    """Measure a running process."""
    process = psutil.Process(pid)
    memory = process.memory_full_info()
    mapped = Path(f"/proc/{pid}/maps").read_text()
    return Footprint(memory.rss, memory.pss, "libtorch" in mapped)


def ready_after_s(worker: Worker) -> float:
    """Return the time from the start of the process to the line in its log that says that it is ready."""
    line = next(line for line in worker.log.read_text().splitlines() if "ready:" in line)
    ready = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")
    return ready.timestamp() - float(psutil.Process(worker.process.pid).create_time())
