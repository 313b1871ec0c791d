"""A stage whose work is waiting: what a job costs when the work itself costs no processor.

It joins the pipeline as a stage of somebody else's would, by an entry point in the group `rdg.stages`. A job is
`shards` messages; each waits, arrives at the job's gate in the store, and the last one reports the job finished.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pydantic import Field

from bus.stage import Stage
from schemas.message import JobMessage
from workers.resources import Resources

NAME = "waiting"


class WaitRequested(JobMessage):
    """Wait, as one of the shards of a job."""

    topic: ClassVar[str] = "benchmark.wait.v1"
    shard: int = Field(ge=0)
    shards: int = Field(ge=1)
    seconds: float = Field(ge=0)


class JobFinished(JobMessage):
    """All shards of the job have waited."""

    topic: ClassVar[str] = "benchmark.finished.v1"


def stage(resources: Resources) -> Stage[WaitRequested, JobFinished]:
    """Return the waiting stage."""

    async def handle(message: WaitRequested) -> AsyncIterator[JobFinished]:
        await asyncio.sleep(message.seconds)
        gate = f"benchmark/{message.job}"
        arrivals = await resources.store.arrive(gate, message.shard, "", message.shards)
        if arrivals.values is not None:
            yield JobFinished(job=message.job)

    return Stage(NAME, consumes=(WaitRequested,), produces=(JobFinished,), handle=handle)


@contextmanager
def installed() -> Iterator[Path]:
    """Yield a folder that, on a worker's path, stands for an installed package with this stage."""
    with TemporaryDirectory() as folder:
        described = Path(folder) / "rdg_benchmark-1.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: rdg-benchmark\nVersion: 1\n"
        )
        entry = f"[rdg.stages]\n{NAME} = {__name__}:stage\n"
        (described / "entry_points.txt").write_text(entry)
        yield Path(folder)
