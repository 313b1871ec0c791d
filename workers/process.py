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
from bus.desk import attend
from bus.errors import BusUnavailable, Misconfigured
from bus.local import serve
from bus.memory import MemoryTransport
from bus.seal import read_seal
from bus.stage import AnyStage, Settlement, Terms, topology
from bus.tasks import tasks
from bus.transport import Subscription, Transport
from learning import generators
from schemas.documents import Model
from schemas.settings import Settings
from store.base import Store, each
from store.connect import open_store
from store.errors import StoreUnavailable
from workers.accounts import accounting
from workers.endpoints import serving
from workers.health import Attendance, Health
from workers.monitor import Monitors
from workers.pipeline import described, installed, load_all
from workers.releasing import publish_newest
from workers.resources import Resources
from workers.watchdog import Watchdog
from workers.whereabouts import ask_for_all

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
        BusUnavailable, StoreUnavailable: What waiting does not help, or a consumer stayed away.

    """
    everything = await asyncio.to_thread(described, installed(), generators.installed())
    _chosen(everything, wanted)  # before it waits for anything
    health = Health(wanted, stop)
    with suppress(Stopped):
        async with (
            serving(settings, health) as address,
            _attending_soon(settings, wanted, health, stop) as subscriptions,
        ):
            ready = " ".join(wanted), len(subscriptions), address
            log.info("ready: %s (%d queues), health at %s", *ready)
            await stop.wait()
            log.info("stopping: up to %.0f s for what runs", settings.grace_s)
    if health.failure:
        raise BusUnavailable(health.failure)


@asynccontextmanager
async def _attending_soon(
    settings: Settings, wanted: Sequence[str], health: Health, stop: asyncio.Event
) -> AsyncIterator[list[Subscription]]:
    """Open the store and the bus and attend the wanted stages, each as soon as it can be done."""
    store_url, bus_url = settings.store_url, settings.bus_url
    async with (
        patiently(
            store_url,
            lambda: open_store(store_url, settings.cache_bytes, settings.tls),
            stop,
            health.waits,
        ) as store,
        patiently(
            bus_url,
            lambda: connect(bus_url, settings.namespace, settings.tls),
            stop,
            health.waits,
        ) as transport,
        # A broker that answers may still not do it: of its nodes too few may be there to keep a queue.
        patiently(
            bus_url,
            lambda: attending(transport, store, settings, wanted, health),
            stop,
            health.waits,
        ) as subscriptions,
    ):
        yield subscriptions


@asynccontextmanager
async def patiently(
    url: str,
    open_once: Callable[[], AbstractAsyncContextManager[Opened]],
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> AsyncIterator[Opened]:
    """Open what a server at `url` serves as soon as it does, with growing pauses; `say` each time what is wrong.

    Only a server is waited for: a file that cannot be opened, an unknown scheme, or a queue that exists with other
    limits is an error at once.

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
                if isinstance(error, Misconfigured) or urlsplit(url).scheme not in SERVED:
                    raise
                say(str(error))
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
    health = Health(installed(), stop)
    async with (
        serving(settings, health) as address,
        open_store(settings.store_url, settings.cache_bytes, settings.tls) as store,
        attending(transport, store, settings, installed(), health),
        serve(transport, path),
    ):
        await resume(await _bus(transport, store, settings), store)
        log.info("ready: all stages, bus at %s, health at %s", path, address)
        await stop.wait()
        log.info("stopping: up to %.0f s for what runs", settings.grace_s)


@asynccontextmanager
async def attending(
    transport: Transport,
    store: Store,
    settings: Settings,
    wanted: Sequence[str],
    health: Health | None = None,
) -> AsyncIterator[list[Subscription]]:
    """Declare the topology of the whole pipeline and attend the wanted stages while the context is open."""
    health = health or Health(wanted, asyncio.Event())
    # Products are small here. With a thread for each core they spin while they wait for each other, which costs
    # many times the work as soon as anything else runs, and sums round by the number of cores.
    threadpool_limits(1)
    resources = Resources(
        store,
        generators.installed(),
        settings.slice_s,
        window=settings.window,
        active_jobs=settings.active_jobs,
        turn_s=min(5.0, settings.deadline_s / 2),
        job_deadline_s=settings.job_deadline_s,
    )
    everything = await asyncio.to_thread(load_all, installed(), resources)
    stages = [health.metrics.counted(stage) for stage in _chosen(everything, wanted)]
    bus = await _bus(transport, store, settings)
    declared = topology(everything)
    await transport.declare(declared)
    terms = _terms(settings, accounting(bus, store, health.metrics))
    async with attend(bus, stages, terms) as subscriptions:
        own = dict(zip(topology(stages).queues, subscriptions, strict=True))
        attendance = Attendance(transport, store, declared.queues, own)
        async with health.attending(attendance), tasks() as group:
            if any(stage.name == "planning" for stage in stages):
                watchdog = _watchdog(bus, resources, everything, settings)
                group.create_task(watchdog.run(settings.sweep_s), name="watchdog")
            if any(stage.name == "fleet" for stage in stages):
                group.create_task(Monitors(bus, store).run(settings.monitor_s), name="monitors")
            yield subscriptions


def _watchdog(
    bus: Bus, resources: Resources, everything: Sequence[AnyStage], settings: Settings
) -> Watchdog:
    stall_s = settings.stall_s + settings.slice_s  # a slice is silent, too
    return Watchdog(bus, resources, everything, stall_s, settings.deadline_s)


def _terms(settings: Settings, observe: Callable[[Settlement], Awaitable[None]]) -> Terms:
    return Terms(
        prefetch=settings.prefetch,
        grace_s=settings.grace_s,
        deadline_s=settings.deadline_s,
        attempts=settings.attempts,
        retry_s=settings.retry_s,
        transient=(StoreUnavailable,),
        observe=observe,
    )


async def resume(bus: Bus, store: Store) -> None:
    """Put back what a bus in memory has forgotten: the newest releases, and where the open jobs stand."""
    async for model in each(store, Model):
        if model.released is not None:
            await publish_newest(store, bus, model)
    await ask_for_all(store, bus)


async def _bus(transport: Transport, store: Store, settings: Settings) -> Bus:
    source = f"rdg/{socket.gethostname()}/{os.getpid()}"
    seal = await asyncio.to_thread(read_seal, settings.keys, settings.sealing)
    return Bus(transport, source, store, settings.inline_bytes, seal)


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
