"""Sealed bodies: what the broker sees, what it cannot change, and how a fleet comes to have keys and new ones."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bus.bus import CLAIM, Bus
from bus.desk import attend
from bus.errors import BusUnavailable, Retry, Unreadable
from bus.keyring import create, read_keys, rotate
from bus.memory import MemoryTransport
from bus.seal import OPEN, SEALED, Seal, covered, read_seal
from bus.stage import Stage, Terms, topology
from bus.transport import Envelope, Queue, Topology, Transport
from schemas.flow import DeviceReported, Order, Progress, ReviewDecided, SamplesGenerated
from schemas.message import Message, Sealing
from tests.bus.inbox import Inbox, until, until_dead

REVIEWS = Queue("review.decided", ReviewDecided.topic)
SAMPLES = Queue("prediction.generated", SamplesGenerated.topic)
REPORTS = Queue("fleet.reported", DeviceReported.topic)
COVERED = (
    "ce-specversion",
    "ce-id",
    "ce-type",
    "ce-source",
    "ce-time",
    "ce-subject",
    "traceparent",
)
PLAIN = "because the light was bad"
ORDER = Order(shard=0, shards=1, generator="gmm", fitted="f", target="7", count=4, seed=0)


@dataclass
class Drawer:
    """Parts in a dict."""

    parts: dict[str, bytes] = field(default_factory=dict)

    async def put_part(self, data: bytes, owner: str) -> str:
        digest = sha256(data).hexdigest()
        self.parts[digest] = data
        return digest

    async def get_part(self, digest: str) -> bytes:
        return self.parts[digest]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.keys"
    create(path)
    return path


@pytest.fixture
def seal(file: Path) -> Seal:
    return read_seal(file, "require")


@pytest.fixture
async def memory() -> MemoryTransport:
    opened = MemoryTransport()
    await opened.declare(Topology((REVIEWS, SAMPLES, REPORTS)))
    return opened


@pytest.fixture
def bus(memory: MemoryTransport, seal: Seal) -> Bus:
    return Bus(memory, "here", seal=seal)


def decision(reason: str = PLAIN) -> ReviewDecided:
    return ReviewDecided(job="job-1", approved=True, reviewer="ann", reason=reason)


async def sent(bus: Bus, message: Message, queue: Queue = REVIEWS) -> Envelope:
    """Publish a message and return what came out of the queue."""
    await bus.publish(message)
    inbox = Inbox()
    async with bus.transport.receive(queue.name, inbox, 1, 1):
        await inbox.holds(1)
    return inbox.deliveries[0].envelope


async def test_broker_sees_no_sample(bus: Bus) -> None:
    samples = np.random.default_rng(1).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    message = SamplesGenerated(job="job-1", order=ORDER, samples=samples, certain=5)
    in_the_clear = await sent(replace(bus, seal=OPEN), message, SAMPLES)

    envelope = await sent(bus, message, SAMPLES)

    for row in samples.reshape(-1, 8):
        assert row.tobytes() in in_the_clear.body
        assert row.tobytes() not in envelope.body
    opened = await bus.open(envelope, SamplesGenerated)
    assert np.array_equal(opened.samples, samples)


async def test_header_names_the_key_and_not_its_secret(bus: Bus, file: Path) -> None:
    envelope = await sent(bus, decision())

    (key,) = read_keys(file)
    assert envelope.headers[SEALED] == key.id
    everything = envelope.body + repr(envelope.headers).encode()
    assert key.secret.raw not in everything


def test_covered_bytes_are_those_of_the_format() -> None:
    headers = {SEALED: "k-1", "ce-id": "7", "ce-subject": "jöb", "rdg-attempt": "2"}

    assert covered(Envelope("orders", "7", b"body", headers)) == (
        b"\x03\0\0\0k-1\x06\0\0\0orders"
        b"\0\0\0\0\x01\0\0\x007\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0j\xc3\xb6b\0\0\0\0"
    )


@pytest.mark.parametrize("name", [*COVERED, SEALED])
async def test_header_of_another_message_is_found_out(bus: Bus, name: str) -> None:
    envelope = await sent(bus, decision())
    changed = {**envelope.headers, name: envelope.headers[name] + "1"}
    if name == "ce-type":  # to a topic that the consumer takes as well
        changed[name] = f"io.rdg.{SamplesGenerated.topic}"

    with pytest.raises(Unreadable, match="seal"):
        await bus.open(replace(envelope, headers=changed), ReviewDecided, SamplesGenerated)


@pytest.mark.parametrize("name", COVERED)
async def test_missing_header_is_found_out(bus: Bus, name: str) -> None:
    envelope = await sent(bus, decision())
    left = {key: value for key, value in envelope.headers.items() if key != name}

    with pytest.raises(Unreadable):
        await bus.open(replace(envelope, headers=left), ReviewDecided)


async def test_other_routing_key_is_found_out(bus: Bus) -> None:
    envelope = await sent(bus, decision())

    with pytest.raises(Unreadable, match=r"the seal of key .* is broken"):
        await bus.open(replace(envelope, key="review.decided.v1.other"), ReviewDecided)


async def test_body_of_another_message_is_found_out(bus: Bus) -> None:
    one, other = await sent(bus, decision("one")), await sent(bus, decision("other"))

    with pytest.raises(Unreadable, match="is broken"):
        await bus.open(replace(one, body=other.body), ReviewDecided)


@pytest.mark.parametrize("body", [b"", b"short", bytes(100)])
async def test_body_that_nobody_sealed_is_found_out(bus: Bus, body: bytes) -> None:
    envelope = await sent(bus, decision())

    with pytest.raises(Unreadable, match="is broken"):
        await bus.open(replace(envelope, body=body), ReviewDecided)


async def test_headers_that_transports_add_do_not_break_the_seal(bus: Bus) -> None:
    envelope = await sent(bus, decision())
    added = {"rdg-attempt": "3", "rdg-reason": "Retry: later", "rdg-queue": "q", "rdg-trace": "t"}

    opened = await bus.open(replace(envelope, headers={**envelope.headers, **added}), ReviewDecided)

    assert opened.reason == PLAIN


async def test_large_body_is_sealed_in_the_store(bus: Bus) -> None:
    drawer = Drawer()
    bus = replace(bus, parts=drawer, inline_bytes=64)

    envelope = await sent(bus, decision("r" * 500))

    (part,) = drawer.parts.values()
    assert b"rrrr" not in part
    assert (envelope.body, envelope.headers[CLAIM]) == (b"", sha256(part).hexdigest())
    assert (await bus.open(envelope, ReviewDecided)).reason == "r" * 500


async def test_part_of_another_message_is_found_out(bus: Bus) -> None:
    bus = replace(bus, parts=Drawer(), inline_bytes=64)
    one, other = await sent(bus, decision("r" * 500)), await sent(bus, decision("s" * 500))

    swapped = {**one.headers, CLAIM: other.headers[CLAIM]}

    with pytest.raises(Unreadable, match="is broken"):
        await bus.open(replace(one, headers=swapped), ReviewDecided)


async def test_what_devices_and_people_exchange_is_not_sealed(bus: Bus) -> None:
    report = DeviceReported(
        id=uuid4(), device="pump-7", model="digits", state="running", at=datetime.now(UTC)
    )
    device = Bus(bus.transport, "pump-7")

    envelope = await sent(device, report, REPORTS)

    assert SEALED not in envelope.headers
    assert (await bus.open(envelope, DeviceReported)).device == "pump-7"
    async with device.follow(Progress, since="first") as notes:
        await bus.publish(Progress(job="j", stage="s", state="x", done=1, total=2, note="seen"))
        assert (await anext(notes)).note == "seen"


async def test_message_in_the_clear_is_refused_where_seals_are_required(bus: Bus) -> None:
    envelope = await sent(replace(bus, seal=OPEN), decision())

    with pytest.raises(Unreadable, match=r"not sealed: give its publisher the keys \(RDG_KEYS\)"):
        await bus.open(envelope, ReviewDecided)


async def test_seal_cannot_be_stripped(bus: Bus) -> None:
    envelope = await sent(bus, decision())
    left = {key: value for key, value in envelope.headers.items() if key != SEALED}

    with pytest.raises(Unreadable, match="not sealed"):
        await bus.open(replace(envelope, headers=left), ReviewDecided)


async def test_process_without_the_key_says_so(bus: Bus, tmp_path: Path) -> None:
    envelope = await sent(bus, decision())
    create(tmp_path / "other.keys")
    other = read_seal(tmp_path / "other.keys", "require")
    name = envelope.headers[SEALED]

    with pytest.raises(Unreadable, match=f"sealed with key '{name}', and RDG_KEYS is not set"):
        await replace(bus, seal=OPEN).open(envelope, ReviewDecided)
    with pytest.raises(Unreadable, match=f"key '{name}', and the file of RDG_KEYS has k-"):
        await replace(bus, seal=other).open(envelope, ReviewDecided)


STEPS: tuple[tuple[Sealing | None, Sealing | None], ...] = (
    (None, "accept"),
    ("accept", "accept"),
    ("accept", "seal"),
    ("seal", "seal"),
    ("seal", "require"),
    ("require", "require"),
)
"""Switching on: in each step some processes are still at the setting before."""


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_sealing_can_be_switched_on_in_a_running_fleet(
    bus: Bus, file: Path, before: Sealing | None, after: Sealing | None
) -> None:
    old, new = (
        replace(bus, seal=read_seal(file, each) if each else OPEN) for each in (before, after)
    )

    for publisher, consumer in ((old, new), (new, old), (new, new), (old, old)):
        opened = await consumer.open(await sent(publisher, decision()), ReviewDecided)
        assert opened.reason == PLAIN


async def test_accepting_process_seals_nothing_and_sealing_one_does(bus: Bus, file: Path) -> None:
    headers = {}
    for sealing in ("accept", "seal", "require"):
        publisher = replace(bus, seal=read_seal(file, sealing))
        headers[sealing] = SEALED in (await sent(publisher, decision())).headers

    assert headers == {"accept": False, "seal": True, "require": True}


async def test_keys_are_rotated_with_messages_in_flight(bus: Bus, file: Path) -> None:
    """Three steps; in each some processes have the file of the step before, and old messages still wait."""
    first = waiting = [await sent(bus, decision())]
    old = bus
    for _ in range(2):
        rotate(file)
        new = replace(bus, seal=read_seal(file, "require"))
        waiting = [*waiting, await sent(old, decision()), await sent(new, decision())]
        for consumer in (old, new):
            for envelope in waiting:
                assert (await consumer.open(envelope, ReviewDecided)).reason == PLAIN
        old = new
    (newest,) = rotate(file)
    last = replace(bus, seal=read_seal(file, "require"))

    assert (await last.open(await sent(old, decision()), ReviewDecided)).reason == PLAIN
    assert (await old.open(await sent(last, decision()), ReviewDecided)).reason == PLAIN
    with pytest.raises(Unreadable, match=f"the file of RDG_KEYS has {newest.id}$"):
        await last.open(first[0], ReviewDecided)


@dataclass
class Desk:
    """A stage that asks for its first message again, and keeps what it was given."""

    taken: list[ReviewDecided] = field(default_factory=list)
    tries: int = 0

    def stage(self) -> Stage[ReviewDecided, Message]:
        return Stage("review", (ReviewDecided,), (), self.handle)

    async def handle(self, message: ReviewDecided) -> AsyncIterator[Message]:
        self.tries += 1
        if self.tries == 1:
            raise Retry("once more")
        self.taken.append(message)
        return
        yield


async def test_seal_survives_transport_and_retry_and_a_broken_one_is_a_dead_letter(
    transport: Transport, seal: Seal
) -> None:
    desk = Desk()
    await transport.declare(topology((desk.stage(),)))
    bus = Bus(transport, "here", seal=seal)
    async with attend(bus, [desk.stage()], Terms(retry_s=0.1)):
        await bus.publish(decision())
        await until(lambda: len(desk.taken) == 1)
        await replace(bus, seal=OPEN).publish(decision())
        queue = desk.stage().queues[0].name
        (letter,) = await until_dead(transport, queue, 1)

    assert (desk.tries, desk.taken[0].reason) == (2, PLAIN)
    assert "Unreadable: not sealed" in letter.headers["rdg-reason"]


async def test_dead_letter_stays_sealed(bus: Bus) -> None:
    inbox = Inbox(lambda delivery: delivery.bury("no use", ""))
    await bus.publish(decision())
    async with bus.transport.receive(REVIEWS.name, inbox, 1, 1):
        (listed,) = await until_dead(bus.transport, REVIEWS.name, 1)
    letter = await bus.transport.letter(REVIEWS.name, listed.id)

    assert letter
    assert PLAIN.encode() not in letter.body
    assert (await bus.open(letter, ReviewDecided)).reason == PLAIN


@pytest.mark.parametrize("text", ["", "k-1 now secret"])
def test_unusable_file_of_keys_names_its_setting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.keys"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(BusUnavailable, match=r"^RDG_KEYS: .*bad\.keys"):
        read_seal(path, "require")
    with pytest.raises(BusUnavailable, match=r"^RDG_KEYS: .*none: No such file"):
        read_seal(tmp_path / "none", "require")


def test_no_representation_shows_a_key(bus: Bus, file: Path) -> None:
    (key,) = read_keys(file)

    assert repr(key.secret.raw)[2:-1] not in repr(bus)
    assert key.id in repr(bus)


def test_device_does_not_load_the_cipher() -> None:
    code = "import sys, edge_agent.cli; print('cryptography' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"
