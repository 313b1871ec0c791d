"""A job that is cancelled leaves nothing of its own, whatever it was at and however many had its messages."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from control.verbs.jobs import cancel
from schemas.documents import JobState
from schemas.flow import Progress
from tests.pipeline.system import System, embedded
from tests.pipeline.test_rules import idle, prepare, reaches, rehearsal

ENDLESS = {"epochs": 10_000, "patience": 10_000}
DURABLE = ("data/", "fitted/", "model/", "set/j-first", "set/j-fit")


def owners(folder: Path) -> set[str]:
    """Who claims parts in the store, and which gates are open."""
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        claims = connection.execute("SELECT owner FROM claims").fetchall()
        gates = connection.execute("SELECT gate FROM gates").fetchall()
    return {owner for (owner,) in [*claims, *gates]}


async def collects(system: System) -> None:
    """Wait until a shard of the job is in."""
    async with asyncio.timeout(60), system.bus.follow(Progress, since="first") as progress:
        async for news in progress:
            if news.job == "j-end" and news.stage == "collection":
                return


@pytest.mark.parametrize("state", ["fitting", "generating", "reviewing", "training"])
async def test_a_cancelled_job_leaves_nothing_in_the_store(tmp_path: Path, state: JobState) -> None:
    async with embedded(tmp_path, slice_s=0.05, inline_bytes=1024) as system:
        await prepare(system)
        mode = "manual" if state == "reviewing" else "policy"
        spec = rehearsal(count=2000, training=ENDLESS, review={"mode": mode})
        job = await system.start("j-end", spec)
        await (collects(system) if state == "generating" else reaches(system, job, state))

        ended = await cancel(system.store, system.bus, job.id)
        await idle(system)

        assert ended.state == "cancelled"
        left = {owner for owner in owners(tmp_path) if not owner.startswith(DURABLE)}
        assert left == set()
