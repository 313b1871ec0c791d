"""What must hold after a run, whatever happened in it. Each rule returns its violations, in words."""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiormq
from aiormq.exceptions import ChannelNotFoundEntity

from bus.bus import Bus
from bus.connect import connect
from bus.rabbit_topology import STEPS_S, Names
from bus.transport import Transport
from schemas.documents import Job, ModelVersion
from schemas.flow import ModelReleased
from store.base import MAX_PAGE
from tests.chaos import holdings
from tests.chaos.load import Load
from tests.chaos.world import Site, work_queues
from workers.leftovers import clear

QUIET_WITHIN_S = 150.0  # the longest step of a retry is about a minute
LOOK_S = 0.5
ENTRY_WITHIN_S = 20.0


async def verdict(load: Load, leftovers_within_s: float) -> list[str]:
    """Return every violation of a run whose jobs and faults are over; none if all is well.

    What a job that is over may have left behind is looked for by a watchdog, once nobody can be at it any longer. It
    has so many seconds for that; with 0 it is not waited for, but done in its place.
    """
    found = [
        f"{each.site}: {each.job} ({each.step}): {each.problem}"
        for each in load.ended
        if each.problem
    ]
    for site in {site.name: site for site in load.sites}.values():
        found += [f"{site.name}: {problem}" for problem in await _of(site, leftovers_within_s)]
    return found


async def _of(site: Site, leftovers_within_s: float) -> list[str]:
    settings = site.direct
    async with connect(settings.bus_url, settings.namespace) as transport:
        bus = Bus(transport, "chaos", site.store)
        waiting = await _not_emptied(site, transport)
        buried = await _buried(transport)
        unreleased = await _not_on_the_log(site, bus)
        left = await _not_cleared(site, bus, leftovers_within_s)
    # Uploads that a kill cut off go a day later (workers/leftovers.py): nobody uploads now, so done in its place.
    await site.store.drop_unfinished(datetime.now(UTC) + timedelta(days=1))
    held = await asyncio.to_thread(holdings.read, settings.store_url)
    problems = await holdings.problems(site.store, held)
    return [*waiting, *buried, *unreleased, *left, *problems]


async def given_back(site: Site) -> list[str]:
    """Name the queues that hold messages although nobody takes any more: those were in a worker's hands."""
    settings = site.direct
    async with connect(settings.bus_url, settings.namespace) as transport:
        return await _not_emptied(site, transport, within_s=0.0)


async def _not_cleared(site: Site, bus: Bus, within_s: float) -> list[str]:
    """Wait until no job may have left anything behind, and name those that still may have."""
    deadline = time.monotonic() + within_s
    while jobs := await site.store.find(Job, leftovers="possible", limit=MAX_PAGE):
        if not within_s:
            for job in jobs:
                await clear(site.store, bus, job)
        elif time.monotonic() > deadline:
            return [f"nobody looked for what {job.id} left behind" for job in jobs]
        else:
            await asyncio.sleep(LOOK_S)
    return []


async def _not_emptied(
    site: Site, transport: Transport, within_s: float = QUIET_WITHIN_S
) -> list[str]:
    """Wait until no queue holds a message, and name those that still do."""
    deadline = time.monotonic() + within_s
    while True:
        depths = {name: await transport.depth(name) for name in work_queues()}
        depths |= await _retrying(site)
        waiting = [f"{depth} messages wait in {name}" for name, depth in depths.items() if depth]
        if not waiting or time.monotonic() > deadline:
            return waiting
        await asyncio.sleep(LOOK_S)


async def _retrying(site: Site) -> dict[str, int]:
    """Return how many messages wait for their retry, by queue of the broker."""
    if urlsplit(site.direct.bus_url).scheme != "amqp":
        return {}
    names = Names(site.direct.namespace)
    connection = await aiormq.connect(site.direct.bus_url)
    depths = {}
    try:
        for name in (names.waiting(queue, step_s) for queue in work_queues() for step_s in STEPS_S):
            channel = await connection.channel()
            with suppress(ChannelNotFoundEntity):  # it was never needed
                answer = await channel.queue_declare(name, passive=True)
                depths[name] = answer.message_count or 0
            await channel.close()
    finally:
        await connection.close()
    return depths


async def _buried(transport: Transport) -> list[str]:
    found = []
    for queue in work_queues():
        for letter in await transport.dead(queue, 10):
            found.append(f"dead letter in {queue}: {letter.headers['rdg-reason']}")
    return found


async def _not_on_the_log(site: Site, bus: Bus) -> list[str]:
    """Name the released versions that a device would not hear of.

    The log of `rdg up` is in memory and ends with it; then the newest release is all that it tells again.
    """
    released: defaultdict[str, set[int]] = defaultdict(set)
    async for version in holdings.every(site.store, ModelVersion):
        if version.status == "released":
            released[version.model].add(version.number)
    is_kept = site.direct.bus is not None
    missing = []
    for model, numbers in released.items():
        wanted = numbers if is_kept else {max(numbers)}
        missing += [
            f"lost: {model}@{number} is not on the log"
            for number in wanted - await _announced(bus, model, max(numbers))
        ]
    return missing


async def _announced(bus: Bus, model: str, newest: int) -> set[int]:
    """Return the versions of a model on the log, up to the newest."""
    found: set[int] = set()
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(ENTRY_WITHIN_S),
            bus.follow(ModelReleased, model, since="first") as releases,
        ):
            async for release in releases:
                found.add(release.manifest.version)
                if release.manifest.version == newest:
                    break
    return found
