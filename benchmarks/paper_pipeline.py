"""This project's pipeline as the product runs it: workers as processes, RabbitMQ and MongoDB between them."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count as counting
from pathlib import Path
from time import perf_counter

from benchmarks.byte_meter import HOST, ByteMeter
from benchmarks.paper_rebuilt import environment, seen_port, start_all
from benchmarks.paper_task import CLASSES, GA_OPTIONS, SHAPE, PaperTask
from bus.bus import Bus
from bus.connect import connect
from learning.bundle import pack
from schemas.documents import Fitted, Job, Model, ModelVersion, RehearsalSet
from schemas.flow import Progress, RehearsalRequested
from schemas.job import Filter, RehearsalSpec, Review
from schemas.message import derived_id
from schemas.model import PartRef, Provenance, Scores
from store.base import Store
from store.connect import open_store
from tests.servers.process import ServerProcess

MODEL = "digits"
WORKERS = (
    ("generation",),
    ("prediction",),
    ("planning", "labelling", "collection", "review"),
)
"""Three processes, as many as the other design has services."""

_numbers = counting(1)


@dataclass(frozen=True)
class Pipeline:
    """The publisher's side of running workers."""

    bus: Bus
    store: Store

    async def run(
        self, generator: str, target: int, count: int, seed: int
    ) -> tuple[float, float, int]:
        """Submit a job and follow it up to the review, which is a person's and so waits.

        Returns the seconds from the submission to the review; those of them from the orders for samples to the
        finished rehearsal set; and the samples kept.
        """
        spec = RehearsalSpec(
            model=MODEL,
            new_data="none",  # only read once a person approves, which nobody does
            generator=generator,
            options=dict(GA_OPTIONS) if generator == "ga" else {},
            classes=(CLASSES[target],),
            count=count,
            fit_new=False,
            filter=Filter(min_confidence=0),
            review=Review(mode="manual"),
            seed=seed,
        )
        key = f"j-{next(_numbers)}"
        job = Job(id=key, token=key, model=MODEL, spec=spec)
        async with self.bus.follow(Progress) as news:
            started = perf_counter()
            await self.store.insert(job)
            await self.bus.publish(RehearsalRequested(id=derived_id(job.run), job=key))
            reached = await _until_review(key, news)
        kept = await self.store.get(RehearsalSet, job.run)
        generating = reached["collection"] - reached["planning"]
        return reached["review"] - started, generating, sum(kept.counts.values())


async def _until_review(key: str, news: AsyncIterator[Progress]) -> dict[str, float]:
    """Return when each stage last spoke of the job."""
    reached = {}
    async for entry in news:
        if entry.job == key:
            reached[entry.stage] = perf_counter()
            if entry.state == "failed":
                raise RuntimeError(f"{entry.stage}: {entry.note}")
        if "review" in reached:
            break
    return reached


@asynccontextmanager
async def pipeline(
    task: PaperTask,
    folder: Path,
    broker_port: int,
    database_port: int,
    meter: ByteMeter | None = None,
) -> AsyncIterator[Pipeline]:
    """Run the workers on a database of their own; `meter` counts the bytes to broker and database."""
    number = next(_numbers)
    amqp = f"amqp://guest:guest@{HOST}:{await seen_port(meter, 'broker', broker_port)}/"
    database = await seen_port(meter, "database", database_port)
    mongo = f"mongodb://{HOST}:{database}/pipeline{number}?directConnection=true"
    workers = [_worker(folder, number, stages, amqp, mongo) for stages in WORKERS]
    with ExitStack() as stack:
        for worker in workers:
            stack.callback(worker.kill)
        async with open_store(mongo) as store, connect(amqp) as transport:
            await _fill(store, task)
            await start_all(workers)
            yield Pipeline(Bus(transport, "benchmark", store), store)


def _worker(
    folder: Path, number: int, stages: Sequence[str], amqp: str, mongo: str
) -> ServerProcess:
    log = folder / f"{stages[0]}-{number}.log"
    command = [sys.executable, "-m", "workers", *stages, "--bus", amqp, "--store", mongo]
    return ServerProcess(command, log, lambda: "ready:" in log.read_text(), environment())


async def _fill(store: Store, task: PaperTask) -> None:
    """Store the model and the fitted generators."""
    for generator, state in task.fitted.items():
        await store.insert(await _fitted(store, generator, pack(state)))
    weights = pack(task.model)
    part = PartRef(
        name="model", digest=await store.put_part(weights, MODEL), size_bytes=len(weights)
    )
    version = ModelVersion(
        id=f"{MODEL}@1",
        model=MODEL,
        number=1,
        run="benchmark.1",
        architecture=task.architecture,
        shape=SHAPE,
        dtype="uint8",
        classes=CLASSES,
        parts=(part,),
        scores=Scores(measured_on="test", accuracy=task.accuracy, per_class={}),
        provenance=Provenance(job="benchmark", seed=0, code_version="benchmark"),
        status="released",
    )
    await store.insert(version)
    await store.insert(Model(id=MODEL, released=1))


async def _fitted(store: Store, generator: str, state: bytes) -> Fitted:
    return Fitted(
        id=f"{generator}-benchmark",
        model=MODEL,
        job="benchmark",
        generator=generator,
        data="digits",
        shape=SHAPE,
        dtype="uint8",
        classes=CLASSES,
        options=dict(GA_OPTIONS) if generator == "ga" else {},
        seed=0,
        data_digests=(),
        digest=await store.put_part(state, f"fitted/{generator}-benchmark"),
        size_bytes=len(state),
    )
