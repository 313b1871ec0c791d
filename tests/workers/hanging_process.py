"""A worker whose handler does what its message says.

`python -m tests.workers.hanging_process URL NAMESPACE DEADLINE_S`
"""

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

from bus.bus import Bus
from bus.connect import connect
from bus.desk import attend
from bus.stage import Stage, Terms, topology
from bus.transport import Topology
from schemas.flow import Progress, RehearsalRequested
from schemas.message import Message
from schemas.settings import Settings
from workers.cli import _run

PLANNING = "planning.rehearsal.requested.v1"


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def stuck_in_a_thread() -> None:
    say("begun")
    threading.Event().wait()


def blocking_the_loop() -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # for years, and holding the interpreter's lock


async def handle(message: RehearsalRequested) -> AsyncIterator[Message]:
    match message.job:
        case "waits":
            await asyncio.Event().wait()
        case "thread":
            await asyncio.to_thread(stuck_in_a_thread)
        case "loop":
            blocking_the_loop()
    yield Progress(job=message.job, stage="planning", state="planning", done=1, total=1)


STAGE: Stage[RehearsalRequested, Message] = Stage(
    "planning", (RehearsalRequested,), (Progress,), handle
)
TOPOLOGY = Topology(tuple(replace(queue, delivery_limit=1) for queue in topology([STAGE]).queues))


def main(url: str, namespace: str, deadline_s: float) -> None:
    terms = Terms(deadline_s=deadline_s, attempts=1, grace_s=0.2, retry_s=1)

    async def work(stop: asyncio.Event) -> None:
        async with connect(url, namespace) as transport:
            await transport.declare(TOPOLOGY)
            async with attend(Bus(transport, "hanging"), [STAGE], terms):
                say("ready")
                await stop.wait()

    _run(work, Settings(deadline_s=deadline_s, slice_s=1), "info")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
