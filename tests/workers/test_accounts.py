"""What a message costs is on its job, and a job whose message was buried fails; a header alone does neither."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bus.bus import Bus
from bus.desk import attend
from bus.memory import MemoryTransport
from bus.stage import Stage, Terms, topology
from bus.transport import Envelope
from schemas.flow import DeviceReported, Progress, TrainingRequested
from schemas.message import Message, derived_id
from store.base import Store
from tests.bus.inbox import until_dead
from tests.workers.scene import add_job, job_now, plain
from workers.accounts import accounting
from workers.metrics import Metrics

QUEUE = "training.training.requested.v1"
DEVICES = "training.device.reported.v1"


async def poisoned(_: Message) -> AsyncIterator[Message]:
    raise ArithmeticError("on purpose")
    yield


@dataclass
class Books:
    """A stage whose handler fails, accounted for in a store."""

    bus: Bus
    store: Store

    async def ask(self, job: str, attempt: int = 1) -> None:
        await self.bus.publish(
            TrainingRequested(id=derived_id(job, attempt), job=job, attempt=attempt)
        )

    async def send_unreadable(self, run: str, key: str) -> None:
        headers = {"ce-id": "1", "ce-type": f"io.rdg.{key}", "ce-subject": run}
        await self.bus.transport.send(Envelope(key, "1", b"garbage", headers))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        observe = accounting(self.bus, self.store, Metrics("1"))
        stage = Stage("training", (TrainingRequested, DeviceReported), (), poisoned)
        await self.bus.transport.declare(topology([stage]))
        async with attend(self.bus, [stage], Terms(observe=observe)):
            yield


@pytest.fixture
def books(store: Store) -> Books:
    return Books(Bus(MemoryTransport(), "test", store), store)


async def test_a_dead_letter_fails_its_job_with_stage_and_reason(
    store: Store, books: Books
) -> None:
    await add_job(store, plain(), state="training")

    async with books.kept():
        await books.ask("j-1")
        await until_dead(books.bus.transport, QUEUE, 1)

    job = await job_now(store)
    assert (job.state, job.reason) == ("failed", "training: ArithmeticError: on purpose")
    assert (await store.tallies("j-1"))["training.messages"] == 1
    async with asyncio.timeout(30), books.bus.follow(Progress, since="first") as progress:
        news = await anext(progress)
    assert (news.state, news.stage, news.note) == ("failed", "training", job.reason)


@pytest.mark.parametrize(
    ("key", "queue"), [("device.reported.v1", DEVICES), ("training.requested.v1", QUEUE)]
)
async def test_what_cannot_be_read_neither_fails_nor_charges_the_job_that_it_names(
    store: Store, books: Books, key: str, queue: str
) -> None:
    await add_job(store, plain(), state="training")

    async with books.kept():
        await books.send_unreadable("j-1.1", key)
        await until_dead(books.bus.transport, queue, 1)

    assert (await job_now(store)).state == "training"
    assert await store.tallies("j-1") == {}


async def test_a_dead_letter_of_no_job_fails_none(store: Store, books: Books) -> None:
    await add_job(store, plain(), state="training")

    async with books.kept():
        await books.ask("j-absent")
        await until_dead(books.bus.transport, QUEUE, 1)

    assert (await job_now(store)).state == "training"


async def test_a_dead_letter_of_an_earlier_attempt_leaves_the_job_alone(
    store: Store, books: Books
) -> None:
    await add_job(store, plain(), state="training", attempt=2)

    async with books.kept():
        await books.ask("j-1", attempt=1)
        await until_dead(books.bus.transport, QUEUE, 1)

    assert (await job_now(store)).state == "training"
