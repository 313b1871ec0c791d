from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from bus import frames
from bus.bus import Bus
from bus.local import LocalTransport, serve
from bus.memory import MemoryTransport
from bus.transport import Envelope, Queue, Topology
from control.verbs import dead_letters
from control.verbs.dead_letters import Choice
from control.verbs.errors import Refused
from schemas.flow import Order, SamplesGenerated
from store.base import Store
from tests.bus.inbox import until_dead

QUEUE = Queue("prediction.samples.generated.v1", SamplesGenerated.topic)


def samples() -> SamplesGenerated:
    order = Order(
        shard=0, shards=1, target="0", count=50, seed=1, generator="gmm", fitted="gmm-j-1"
    )
    return SamplesGenerated(
        job="j-1", order=order, samples=np.zeros((50, 8, 8), np.uint8), certain=50
    )


async def bury(bus: Bus, *envelopes: Envelope) -> None:
    """Make a dead letter of samples, or one of each envelope."""
    await bus.transport.declare(Topology((QUEUE,)))
    if not envelopes:
        await bus.publish(samples())
    for envelope in envelopes:
        await bus.transport.send(envelope)
    async with bus.transport.receive(QUEUE.name, lambda each: each.bury("no", ""), 1, 5):
        await until_dead(bus.transport, QUEUE.name, len(envelopes) or 1)


async def shown(bus: Bus) -> dead_letters.LetterDetail:
    [letter] = await bus.transport.dead(QUEUE.name, 2)
    return await dead_letters.show(bus, letter.id, QUEUE.name)


@pytest.mark.parametrize("inline_bytes", [1 << 20, 100])
async def test_arrays_of_a_body_are_shown_by_dtype_and_shape_wherever_the_body_is_kept(
    store: Store, inline_bytes: int
) -> None:
    bus = Bus(MemoryTransport(), "test", store, inline_bytes)
    await bury(bus)
    detail = await shown(bus)
    assert detail.body is not None
    assert detail.body["samples"] == "uint8[50,8,8]"
    assert detail.letter.size_bytes > 50 * 8 * 8
    assert detail.problem == ""


async def test_body_that_was_dropped_with_its_job_is_said_to_be_gone(store: Store) -> None:
    bus = Bus(MemoryTransport(), "test", store, inline_bytes=100)
    await bury(bus)
    await store.drop_parts("claims/j-1.1")
    detail = await shown(bus)
    assert detail.body is None
    assert "gone with its job" in detail.problem


async def test_body_that_is_no_message_says_why_and_the_rest_is_shown(store: Store) -> None:
    bus = Bus(MemoryTransport(), "test", store)
    await bury(bus, Envelope(QUEUE.key, "7", b"\xc1", {"ce-type": "io.rdg.strange.v1"}))
    detail = await shown(bus)
    assert (detail.letter.id, detail.letter.topic, detail.letter.job) == ("7", "strange.v1", "")
    assert detail.body is None
    assert "not msgpack" in detail.problem


async def test_long_texts_and_lists_are_cut_short(store: Store) -> None:
    bus = Bus(MemoryTransport(), "test", store)
    fields = {"text": "x" * 1000, "items": list(range(100)), "raw": bytes(9), "in": {"n": None}}
    await bury(bus, Envelope(QUEUE.key, "7", msgpack.packb(fields), {}))
    body = (await shown(bus)).body
    assert body is not None
    assert body["text"] == "x" * 200 + "…"
    assert body["items"] == [*range(20), "… 80 more"]
    assert (body["raw"], body["in"]) == ("bytes of 9", {"n": None})


@pytest.mark.parametrize("died", ["", "yesterday", "2026-01-01T00:00:00"])
async def test_letter_of_an_unknown_time_is_listed_last(
    store: Store, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    bus = Bus(MemoryTransport(), "test", store)
    await bury(bus)
    letter = await bus.transport.letter(QUEUE.name, (await shown(bus)).letter.id)
    assert letter
    strange = replace(letter, id="7", headers={**letter.headers, "rdg-died": died})
    bus.transport._queues[QUEUE.name].dead.insert(0, strange)  # type: ignore[attr-defined]
    found = await dead_letters.page(bus.transport, Choice(QUEUE.name))
    assert [each.died is None for each in found] == [False, True]


async def test_letters_too_large_together_for_the_socket_are_listed_shown_replayed_and_purged(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bus.sock"
    body = msgpack.packb({"raw": bytes(2000)})
    async with serve(MemoryTransport(), path), LocalTransport.connect(str(path)) as transport:
        bus = Bus(transport, "test", store)
        await bury(bus, *(Envelope(QUEUE.key, name, body, {}) for name in "abcd"))
        monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 3000)
        found = await dead_letters.page(transport, Choice(QUEUE.name))
        assert [(each.id, each.size_bytes) for each in found] == [(n, len(body)) for n in "dcba"]
        assert (await dead_letters.show(bus, "b", QUEUE.name)).body == {"raw": "bytes of 2000"}
        replayed = await dead_letters.replay(store, transport, Choice(QUEUE.name, ("a", "b")))
        purged = await dead_letters.purge(transport, Choice(QUEUE.name, ("c", "d")))
        assert (replayed.count, purged.count) == (2, 2)
        assert await transport.depth(QUEUE.name) == 2


def test_without_a_pipeline_a_queue_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "entry_points", lambda group: [])
    with pytest.raises(Refused, match="no pipeline is installed here; name a queue"):
        dead_letters.installed_queues()
