"""The typed bus: claim check, many at once, logs."""

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

import msgpack
import pytest

from bus.bus import CLAIM, Bus, size_of
from bus.errors import Expired, Unreadable, Unroutable
from bus.memory import MemoryTransport
from bus.transport import Envelope, Queue, Topology
from schemas.flow import GeneratorFitted, Progress, RehearsalRequested, ReviewDecided
from schemas.message import Message
from tests.bus.inbox import Inbox, taken

REVIEWS = Queue("review.decided", "review.decided.v1")
REQUESTS = Queue("planning.requested", "rehearsal.requested.v1")


class Drawer:
    """Parts in a dict."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.owners: set[str] = set()

    async def put_part(self, data: bytes, owner: str) -> str:
        digest = sha256(data).hexdigest()
        self.parts[digest] = data
        self.owners.add(owner)
        return digest

    async def get_part(self, digest: str) -> bytes:
        return self.parts[digest]


@pytest.fixture
async def transport() -> MemoryTransport:
    opened = MemoryTransport()
    await opened.declare(Topology((REVIEWS, REQUESTS)))
    return opened


def decision(reason: str = "", job: str = "job-1") -> ReviewDecided:
    return ReviewDecided(job=job, approved=True, reviewer="ann", reason=reason)


async def received(transport: MemoryTransport, queue: Queue) -> Envelope:
    inbox = Inbox()
    async with transport.receive(queue.name, inbox, 1, 1):
        await inbox.holds(1)
    return inbox.deliveries[0].envelope


async def test_small_body_travels_whole(transport: MemoryTransport) -> None:
    drawer = Drawer()
    bus = Bus(transport, "here", drawer, inline_bytes=1024)
    size = await bus.publish(decision())
    envelope = await received(transport, REVIEWS)
    assert len(envelope.body) == size == size_of(envelope)
    assert drawer.parts == {}


async def test_large_body_is_left_in_the_store_and_fetched_when_opened(
    transport: MemoryTransport,
) -> None:
    drawer = Drawer()
    bus = Bus(transport, "here", drawer, inline_bytes=64)
    size = await bus.publish(decision("r" * 500))
    envelope = await received(transport, REVIEWS)
    assert envelope.body == b""
    assert list(drawer.parts) == [envelope.headers[CLAIM]]
    assert drawer.owners == {"claims/job-1.1"}
    assert size_of(envelope) == size > 500
    message = await bus.open(envelope, ReviewDecided)
    assert message.reason == "r" * 500
    assert message.id == UUID(envelope.id)


async def test_body_whose_part_was_dropped_is_expired(transport: MemoryTransport) -> None:
    drawer = Drawer()
    bus = Bus(transport, "here", drawer, inline_bytes=64)
    await bus.publish(decision("r" * 500))
    drawer.parts.clear()
    with pytest.raises(Expired, match="gone with its job"):
        await bus.open(await received(transport, REVIEWS), ReviewDecided)


async def test_left_body_is_unreadable_without_a_store(transport: MemoryTransport) -> None:
    await Bus(transport, "here", Drawer(), inline_bytes=64).publish(decision("r" * 500))
    with pytest.raises(Unreadable, match="this process has none"):
        await Bus(transport, "device").open(await received(transport, REVIEWS), ReviewDecided)


async def test_bus_without_a_store_sends_large_bodies_whole(transport: MemoryTransport) -> None:
    await Bus(transport, "device", inline_bytes=64).publish(decision("r" * 500))
    envelope = await received(transport, REVIEWS)
    assert len(envelope.body) > 500
    assert CLAIM not in envelope.headers


async def test_log_entry_always_travels_whole(transport: MemoryTransport) -> None:
    drawer = Drawer()
    bus = Bus(transport, "here", drawer, inline_bytes=64)
    await bus.publish(progress("n" * 500))
    async with transport.follow("progress.v1", "first") as entries:
        (body,) = await taken(entries, 1)
    assert len(body) > 500
    assert drawer.parts == {}


async def test_message_without_an_id_gets_one_and_one_with_an_id_keeps_it(
    transport: MemoryTransport,
) -> None:
    bus = Bus(transport, "here")
    await bus.publish(decision())
    assert UUID((await received(transport, REVIEWS)).id).version == 4
    key = UUID(int=7)
    await bus.publish(decision().model_copy(update={"id": key}))
    assert (await received(transport, REVIEWS)).id == str(key)


@pytest.mark.parametrize("count", [0, 1, 300])
async def test_all_of_many_are_published_and_their_bytes_summed(
    transport: MemoryTransport, count: int
) -> None:
    size = await Bus(transport, "here").publish_all(decision() for _ in range(count))
    assert await transport.depth(REVIEWS.name) == count
    assert size == count * len((await encoded(transport)).body)


@pytest.mark.parametrize("count", [1, 2, 300])
async def test_failure_among_many_is_one_plain_error(
    transport: MemoryTransport, count: int
) -> None:
    messages: Iterable[Message] = (GeneratorFitted(job="j", fitted="f") for _ in range(count))
    with pytest.raises(Unroutable, match=r"generator.fitted.v1"):
        await Bus(transport, "here").publish_all(messages)


async def test_confirms_of_many_are_waited_for_together() -> None:
    class Slow(MemoryTransport):
        waiting = 0
        most = 0

        async def send(self, envelope: Envelope) -> None:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            await asyncio.sleep(0)
            self.waiting -= 1

    slow = Slow()
    await Bus(slow, "here").publish_all(decision() for _ in range(1000))
    assert slow.most == 128


async def test_follower_passes_over_what_it_cannot_read(transport: MemoryTransport) -> None:
    bus = Bus(transport, "here")
    async with bus.follow(Progress, since="first") as notes:
        await transport.append(Envelope("progress.v1", "1", b"garbage", {"ce-type": "x"}))
        await bus.publish(progress("readable"))
        async with asyncio.timeout(5):
            assert (await anext(notes)).note == "readable"


def progress(note: str) -> Progress:
    return Progress(job="j", stage="training", state="running", done=1, total=2, note=note)


async def encoded(transport: MemoryTransport) -> Envelope:
    await Bus(transport, "here").publish(decision())
    return await received(transport, REVIEWS)


async def test_a_message_without_an_id_is_unreadable() -> None:
    bus = Bus(MemoryTransport(), "test")
    body = msgpack.packb({"job": "j-1"})
    headers = {"ce-type": f"io.rdg.{RehearsalRequested.topic}"}

    with pytest.raises(Unreadable, match="id"):
        await bus.open(Envelope("k", "", body, headers), RehearsalRequested)


@pytest.mark.parametrize("claimed", ["many", "", "-1", "²", "9" * 16, "9" * 5000])
def test_a_size_that_is_no_size_is_not_believed(claimed: str) -> None:
    assert size_of(Envelope("k", "", b"four", {"rdg-bytes": claimed})) == 4
