"""A dead letter that no handler told of fails its job and no other; letters are read only when there is cause to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bus import isolation, rabbit
from bus.bus import Bus
from bus.connect import connect
from bus.memory import MemoryTransport
from bus.stage import Stage, topology
from bus.transport import Topology
from schemas.documents import Job
from schemas.message import Message
from store.base import Store
from tests.bus.inbox import until_dead
from tests.workers.scene import add_job, job_now, plain, rehearsal
from tests.workers.watch import DEADLINE_S, STAGES, TRAINING, Watch, letter
from workers.pipeline import described
from workers.resources import Resources
from workers.watchdog import QUIET_S, Watchdog, queues_of


async def bury(transport: MemoryTransport, run: str, reason: str = "unreadable") -> None:
    """Have a message of that run among the dead letters of the training stage."""
    done = asyncio.Event()

    async def give_up(delivery: Any) -> None:
        await delivery.bury(reason, "")
        done.set()

    await transport.send(letter(run))
    async with transport.receive(TRAINING, give_up, prefetch=1, grace_s=1):
        await done.wait()


async def test_a_dead_letter_that_no_handler_told_of_fails_its_job(
    store: Store, watch: Watch
) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1", "delivery limit")
    await watch.after(1, QUIET_S)

    job = await job_now(store)
    assert (job.state, job.reason) == ("failed", f"dead letter in {TRAINING}: delivery limit")


@pytest.mark.parametrize("run", ["j-1.1", "j-other.1", ""])
async def test_a_dead_letter_of_another_attempt_or_job_fails_none(
    store: Store, watch: Watch, run: str
) -> None:
    await add_job(store, plain(), state="training", attempt=2)

    await bury(watch.transport, run)
    await watch.after(1, QUIET_S)

    assert (await job_now(store)).state == "training"


async def test_of_several_dead_letters_the_newest_says_why(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1", "unreadable")
    await bury(watch.transport, "j-1.1", "delivery limit")
    await watch.after(1, QUIET_S)

    assert (await job_now(store)).reason == f"dead letter in {TRAINING}: delivery limit"


async def test_dead_letters_are_read_when_they_are_others_than_before(
    store: Store, watch: Watch
) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-other.1")
    await watch.after(1, QUIET_S, 1, 1, 1)
    once = watch.transport.readings
    await bury(watch.transport, "j-other.2")
    await watch.after(1, 1)

    assert (once, watch.transport.readings) == (1, 2)


async def test_jobs_that_move_cost_no_look_at_the_bus(store: Store, watch: Watch) -> None:
    await add_job(store, plain(), state="training")

    await bury(watch.transport, "j-1.1")
    await watch.after(1)

    assert watch.transport.readings == 0


def test_dead_letters_of_what_devices_may_publish_are_not_believed() -> None:
    class FromOutside(Message):
        topic = "camera.seen.v1"

    async def handle(_: Message) -> AsyncIterator[Message]:
        return
        yield

    others = [Stage("camera", consumes=(FromOutside,), produces=(), handle=handle)]
    job = Job(id="j-1", token="", model="m", spec=rehearsal(), state="generating")

    names = set(queues_of([*STAGES, *others], job))

    assert not {name for name in names if name.startswith(("camera", "fleet"))}


@pytest.mark.rabbit
async def test_a_message_that_the_broker_set_aside_fails_its_job(
    store: Store,
    resources: Resources,
    amqp_url: str,
    bus_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbit, "HAND_BACK_S", 0.05)
    monkeypatch.setattr(isolation, "PAUSE_S", 0.05)
    await add_job(store, plain(), state="training")
    declared = topology(described(["training"], ()))
    [queue] = declared.queues

    async def die(delivery: Any) -> None:
        raise ArithmeticError("on purpose")

    async with connect(amqp_url, bus_prefix) as transport:
        await transport.declare(Topology((replace(queue, delivery_limit=2),)))
        await transport.send(letter("j-1.1"))
        async with transport.receive(TRAINING, die, prefetch=1, grace_s=5):
            await until_dead(transport, TRAINING, 1)
        bus = Bus(transport, "test", store)
        dog = Watchdog(bus, resources, STAGES, 0.01, DEADLINE_S)
        async with asyncio.timeout(60):
            while not (await job_now(store)).is_over:
                await dog.sweep()

    assert (await job_now(store)).reason.startswith(f"dead letter in {TRAINING}: delivery limit")
