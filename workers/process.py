"""A process that works: it connects, declares the whole topology, attends its stages, and stops when told.

Embedded (`rdg up`): all stages, the in-memory bus, and a socket for other processes of the machine. Distributed
(`rdg worker`): some stages, a bus and a store by URL. The stages do not know which.
"""

import asyncio
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from threadpoolctl import threadpool_limits

from bus.bus import Bus
from bus.connect import connect
from bus.errors import BusUnavailable
from bus.local import serve
from bus.memory import MemoryTransport
from bus.stage import AnyStage, Settlement, Terms, attend, topology
from bus.transport import Subscription, Transport
from learning import generators
from schemas.documents import NEXT_STATES, TERMINAL, Document, Job, Model, ModelVersion
from schemas.flow import RehearsalRequested
from schemas.message import derived_id
from schemas.settings import Settings
from store.base import MAX_PAGE, Store
from store.connect import open_store
from store.errors import NotFound, StoreUnavailable
from store.jobs import finish
from workers.pipeline import described, installed, load_all
from workers.releasing import release_of
from workers.resources import Resources, report

D = TypeVar("D", bound=Document)
Opened = TypeVar("Opened")

SERVED = ("amqp", "amqps", "unix", "mongodb", "mongodb+srv")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0

log = logging.getLogger("rdg.worker")


class Stopped(Exception):
    """The process was told to stop while it waited for a server."""


async def work(settings: Settings, wanted: Sequence[str], stop: asyncio.Event) -> None:
    """Attend the wanted stages on the bus and store of the settings until `stop`; waits for both to be there.

    Args:
        settings: Where the bus and the store are, and the limits.
        wanted: Stage names; `generation.gmm` is that stage for that generator alone.
        stop: Set it to stop taking, finish what runs within the grace time, and return.

    Raises:
        ValueError: There is no such stage or generator.
        BusUnavailable, StoreUnavailable: Their URL is not one that waiting helps.

    """
    _chosen(described(installed(), generators.installed()), wanted)  # before it waits for anything
    store_url, bus_url = settings.store_url, settings.bus_url
    with suppress(Stopped):
        async with (
            patiently(
                store_url, lambda: open_store(store_url, settings.cache_bytes), stop
            ) as store,
            patiently(bus_url, lambda: connect(bus_url, settings.namespace), stop) as transport,
            attending(transport, store, settings, wanted) as subscriptions,
        ):
            log.info("ready: %s (%d queues)", " ".join(wanted), len(subscriptions))
            await stop.wait()
            log.info("stopping: up to %.0f s for what runs", settings.grace_s)


@asynccontextmanager
async def patiently(
    url: str, open_once: Callable[[], AbstractAsyncContextManager[Opened]], stop: asyncio.Event
) -> AsyncIterator[Opened]:
    """Open what a server at `url` serves as soon as it does, with growing pauses; each try says what is wrong.

    Only a server is waited for: a file that cannot be opened or an unknown scheme is an error at once.

    Raises:
        Stopped: `stop` was set before it could be opened.

    """
    async with AsyncExitStack() as stack:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                opened = await stack.enter_async_context(open_once())
                break
            except (BusUnavailable, StoreUnavailable) as error:
                if urlsplit(url).scheme not in SERVED:
                    raise
                log.warning("%s; trying again", error)
            await _pause(pause_s * random.uniform(0.5, 1), stop)  # noqa: S311  not all come at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        yield opened


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
            raise Stopped


async def up(settings: Settings, stop: asyncio.Event) -> None:
    """Run the whole system in this process until `stop`, reachable by socket; unfinished jobs go on."""
    url = urlsplit(settings.bus_url)
    if url.scheme != "unix":
        raise ValueError(f"RDG_BUS: `rdg up` is its own bus, at unix:///path, not {url.scheme}://")
    transport, path = MemoryTransport(), Path(unquote(url.path))
    async with (
        open_store(settings.store_url, settings.cache_bytes) as store,
        attending(transport, store, settings, installed()),
        serve(transport, path),
    ):
        await resume(_bus(transport, store, settings), store)
        log.info("ready: all stages, bus at %s", path)
        await stop.wait()
        log.info("stopping: up to %.0f s for what runs", settings.grace_s)


@asynccontextmanager
async def attending(
    transport: Transport, store: Store, settings: Settings, wanted: Sequence[str]
) -> AsyncIterator[list[Subscription]]:
    """Declare the topology of the whole pipeline and attend the wanted stages while the context is open."""
    # Products are small here. With a thread for each core they spin while they wait for each other, which costs
    # many times the work as soon as anything else runs, and sums round by the number of cores.
    threadpool_limits(1)
    resources = Resources(store, generators.installed(), settings.slice_s)
    everything = load_all(installed(), resources)
    stages = _chosen(everything, wanted)
    bus = _bus(transport, store, settings)
    await transport.declare(topology(everything))
    terms = Terms(
        prefetch=settings.prefetch,
        grace_s=settings.grace_s,
        attempts=settings.attempts,
        retry_s=settings.retry_s,
        transient=(StoreUnavailable,),
        observe=_observer(bus, store),
    )
    async with attend(bus, stages, terms) as subscriptions:
        yield subscriptions


async def resume(bus: Bus, store: Store) -> None:
    """Put back what a bus in memory has forgotten: the newest releases, and the jobs that are not over.

    Of a job, what was done is found done, by id; the rest is done again with the same result.
    """
    async for model in _every(store, Model):
        if model.released is not None:
            version = await store.get(ModelVersion, f"{model.id}@{model.released}")
            await bus.publish(await release_of(store, version))
    for state in NEXT_STATES.keys() - TERMINAL:
        async for job in _every(store, Job, state=state):
            log.info("job %s goes on (it was %s)", job.id, state)
            await bus.publish(
                RehearsalRequested(id=derived_id(job.run), job=job.id, attempt=job.attempt)
            )


async def _every(store: Store, kind: type[D], **equal: str) -> AsyncIterator[D]:
    """Yield all documents, page by page."""
    page = await store.find(kind, limit=MAX_PAGE, before=None, **equal)
    while page:
        for document in page:
            yield document
        page = await store.find(kind, limit=MAX_PAGE, before=page[-1], **equal)


def _bus(transport: Transport, store: Store, settings: Settings) -> Bus:
    source = f"rdg/{socket.gethostname()}/{os.getpid()}"
    return Bus(transport, source, store, settings.inline_bytes)


def _chosen(everything: Sequence[AnyStage], wanted: Sequence[str]) -> list[AnyStage]:
    """Return the stages that are wanted, cut down to one route where a route is named."""
    by_name = {stage.name: stage for stage in everything}
    chosen = []
    for text in wanted:
        name, _, route = text.partition(".")
        if name not in by_name:
            raise ValueError(f"stage {name!r} is unknown; there are {', '.join(by_name)}")
        stage = by_name[name]
        if route and route not in stage.routes:
            known = ", ".join(f"{name}.{each}" for each in stage.routes) or "no routes"
            raise ValueError(f"{text!r}: {name} has {known}")
        chosen.append(replace(stage, routes=(route,)) if route else stage)
    return chosen


def _observer(bus: Bus, store: Store) -> Callable[[Settlement], Awaitable[None]]:
    """Return what keeps a job's costs, and fails the job whose message was buried."""

    async def observe(settlement: Settlement) -> None:
        job = settlement.run.rpartition(".")[0]
        if not job:
            return
        await store.tally(
            job,
            {
                f"{settlement.stage}.messages": 1,
                f"{settlement.stage}.seconds": settlement.seconds,
                f"{settlement.stage}.bytes_in": settlement.bytes_in,
                f"{settlement.stage}.bytes_out": settlement.bytes_out,
            },
        )
        if settlement.outcome == "buried":
            log.error("%s gave up on job %s: %s", settlement.stage, job, settlement.reason)
            await _fail(bus, store, settlement)

    return observe


async def _fail(bus: Bus, store: Store, settlement: Settlement) -> None:
    try:
        job = await store.get(Job, settlement.run.rpartition(".")[0])
    except NotFound:
        return
    if job.run != settlement.run:
        return  # of an earlier attempt
    reason = f"{settlement.stage}: {settlement.reason}"
    job = await finish(store, job, "failed", reason)
    await bus.publish(report(job, settlement.stage))
