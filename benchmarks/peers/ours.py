"""Our bus as a worker runs it: typed messages, a stage, and the loop that settles its messages.

Publishing validates each message, derives its id, encodes its arrays and waits for a confirm that also says that a
queue took it. Handling decodes, validates, looks the id up among the recent ones and acknowledges.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from benchmarks.peers import IN_FLIGHT, Run
from benchmarks.peers.loop import Countdown, run_on
from bus.bus import Bus
from bus.cipher import KEY_BYTES, Secret
from bus.connect import connect
from bus.desk import attend
from bus.keyring import Key
from bus.seal import OPEN, Seal
from bus.stage import Stage, Terms, topology
from bus.transport import Transport
from schemas.message import Message

SEAL = Seal((Key("k-benchmark", datetime.now(UTC), Secret(bytes(KEY_BYTES))),))


def produce(run: Run) -> None:
    """Publish messages as the outputs of a stage are published."""
    run_on(run.peer.uvloop, _produce(run))


def consume(run: Run) -> None:
    """Attend a stage that makes nothing of what it takes."""
    run_on(run.peer.uvloop, _consume(run))


async def _produce(run: Run) -> None:
    async with connect(run.url, "benchmark") as transport:
        await transport.declare(topology([_stage(run, Countdown(0, run.done))]))
        run.ready()
        await _bus(run, transport).publish_all(run.payload.messages(run.count))
        run.done()


async def _consume(run: Run) -> None:
    countdown = Countdown(run.count, run.done)
    stage = _stage(run, countdown)
    async with connect(run.url, "benchmark") as transport:
        await transport.declare(topology([stage]))
        async with attend(_bus(run, transport), [stage], Terms(prefetch=IN_FLIGHT)):
            run.ready()
            await countdown.passed.wait()


def _bus(run: Run, transport: Transport) -> Bus:
    return Bus(transport, "benchmark", seal=SEAL if run.peer.sealed else OPEN)


def _stage(run: Run, countdown: Countdown) -> Stage[Message, Message]:
    async def handle(_: Message) -> AsyncIterator[Message]:
        countdown.one()
        return
        yield  # a stage is an asynchronous generator, also where it yields nothing

    return Stage("benchmark", (run.payload.kind,), (), handle, routes=("gmm",))
