"""A whole job between services with keys: it completes, and the transport carries no sample."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bus.bus import Bus
from bus.keyring import create
from bus.memory import MemoryTransport
from bus.seal import OPEN, SEALED, read_seal
from bus.transport import Envelope
from schemas.documents import Model
from schemas.flow import FLOW, SamplesGenerated
from schemas.job import FitSpec, RehearsalSpec, Training
from schemas.settings import Settings
from store.connect import open_store
from tests.pipeline.system import NAMES, System, add_digits, digits
from workers.pipeline import installed
from workers.process import attending

QUICK = Training(epochs=2)
OPEN_TOPICS = {kind.topic for kind in FLOW if not kind.sealed}


class Spy(MemoryTransport):
    """Keeps a copy of all that it carries, as a broker could."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Envelope] = []

    async def send(self, envelope: Envelope) -> None:
        self.seen.append(envelope)
        await super().send(envelope)

    async def append(self, envelope: Envelope) -> None:
        self.seen.append(envelope)
        await super().append(envelope)


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[tuple[System, Spy]]:
    """All stages on a transport that looks, with keys."""
    file, spy = tmp_path / "fleet.keys", Spy()
    create(file)
    settings = Settings(home=tmp_path, keys=file, slice_s=0.5)
    async with (
        open_store(settings.store_url) as store,
        attending(spy, store, settings, installed()),
    ):
        bus = Bus(spy, "test", store, settings.inline_bytes, read_seal(file, "require"))
        yield System(bus, store, settings), spy


async def test_job_completes_and_no_sample_is_on_the_transport(sealed: tuple[System, Spy]) -> None:
    system, spy = sealed
    await add_digits(system.store, "old", NAMES[:2])
    await add_digits(system.store, "new", NAMES[2:4])
    first = RehearsalSpec(model="digits", new_data="old", training=QUICK)
    fit = FitSpec(model="digits", generator="original", data="old", options={"budget": 20})
    rehearse = RehearsalSpec.model_validate(
        {
            "model": "digits",
            "new_data": "new",
            "generator": "original",
            "classes": NAMES[:2],
            "count": 20,
            "training": QUICK,
            "filter": {"min_confidence": 0.0},
            "review": {"min_count": 0},
        }
    )

    jobs = [
        await system.run(key, spec)
        for key, spec in (("j-first", first), ("j-fit", fit), ("j-again", rehearse))
    ]

    assert [(job.state, job.reason) for job in jobs] == [("completed", "")] * 3
    assert (await system.store.get(Model, "digits")).released == 2
    generated = [each for each in spy.seen if each.key == SamplesGenerated.topic]
    rows = [row.tobytes() for row in await sent_samples(system.bus, generated)]
    real, _ = digits("train")
    assert set(rows) <= {row.tobytes() for row in real}  # they are real data
    for envelope in spy.seen:
        topic = envelope.headers["ce-type"].removeprefix("io.rdg.")
        assert (SEALED in envelope.headers) == (topic not in OPEN_TOPICS)
        assert not any(row in envelope.body for row in rows), topic


async def sent_samples(bus: Bus, envelopes: list[Envelope]) -> NDArray[np.generic]:
    messages = [await bus.open(each, SamplesGenerated) for each in envelopes]
    assert messages
    return np.concatenate([message.samples for message in messages])


async def test_request_without_a_seal_is_a_dead_letter(sealed: tuple[System, Spy]) -> None:
    system, spy = sealed
    outsider = System(Bus(spy, "outsider", system.store, seal=OPEN), system.store, system.settings)
    await add_digits(system.store, "old", NAMES[:2])

    spec = RehearsalSpec(model="digits", new_data="old", training=QUICK)
    job = await outsider.run("j-forged", spec)

    assert job.state == "failed"
    assert "not sealed" in job.reason
