"""The rebuilt design of the paper, started, asked for a class, and stopped."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.byte_meter import HOST, ByteMeter
from benchmarks.paper_services import ARCHITECTURE_FILE, MODEL_FILE, Controller, Message
from benchmarks.paper_task import GA_OPTIONS, PaperTask
from learning.bundle import pack
from tests.servers.process import ServerProcess, free_port, port_is_open

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Polling:
    """How the workflow works.

    Attributes:
        interval_s: Pause between two polls.
        at_once: Messages routed at the same time, and cultures that the controller keeps going.

    """

    interval_s: float
    at_once: int

    def __str__(self) -> str:
        kind = "one culture at a time" if self.at_once == 1 else f"{self.at_once} cultures at once"
        return f"poll every {self.interval_s * 1000:.0f} ms, {kind}"


class Rebuilt:
    """The controller's side of a running system."""

    def __init__(self, port: int, workflow_port: int, at_once: int) -> None:
        self._at_once = at_once
        self._free = threading.Semaphore(at_once)
        self._images = 0
        self._next = 0
        self.controller = Controller(port, workflow_port, self._receive)

    def run(self, generator: str, target: int, count: int, seed: int) -> tuple[float, int]:
        """Return the seconds from the first request to the last image at the controller, and the images."""
        if generator == "ga":
            asked = [self._start(generator, target, 1, seed + culture) for culture in range(count)]
        else:
            asked = [self._start(generator, target, count, seed)]
        self._images, started = 0, perf_counter()
        self._converse(asked)
        return perf_counter() - started, self._images

    def _start(self, generator: str, target: int, count: int, seed: int) -> Message:
        self._next += 1
        return {
            "to": "data",
            "kind": "start",
            "generator": generator,
            "culture": self._next,
            "target": target,
            "count": count,
            "seed": seed,
            "options": dict(GA_OPTIONS) if generator == "ga" else {},
        }

    def _converse(self, asked: Sequence[Message]) -> None:
        for message in asked:
            self._wait()
            self.controller.ask(message)
        for _ in range(self._at_once):
            self._wait()
        self._free.release(self._at_once)

    def _wait(self) -> None:
        if not self._free.acquire(timeout=PATIENCE_S):
            raise TimeoutError("a message was lost: see the logs of the services")

    def _receive(self, message: Message) -> None:
        self._images += len(message["images"])
        self._free.release()


@asynccontextmanager
async def rebuilt(
    folder: Path, database_port: int, polling: Polling, meter: ByteMeter | None = None
) -> AsyncIterator[Rebuilt]:
    """Run the three services and a controller; `meter` counts the bytes to each server."""
    names = ("data", "prediction", "workflow", "controller")
    ports = {name: free_port() for name in names}
    seen = {name: await seen_port(meter, name, ports[name]) for name in names}
    database = await seen_port(meter, "database", database_port)
    mongo = f"mongodb://{HOST}:{database}/paper{ports['workflow']}?directConnection=true"
    nodes = [str(seen[name]) for name in ("data", "prediction", "controller")]
    arguments = {
        "data": [str(folder)],
        "prediction": [str(folder)],
        "workflow": [mongo, str(polling.interval_s), str(polling.at_once), *nodes],
    }
    services = [_service(folder, name, ports[name], own) for name, own in arguments.items()]
    system = Rebuilt(ports["controller"], seen["workflow"], polling.at_once)
    with ExitStack() as stack:
        for service in services:
            stack.callback(service.kill)
        await start_all(services)
        stack.enter_context(system.controller)
        yield system


async def seen_port(meter: ByteMeter | None, name: str, port: int) -> int:
    """Return the port that a server's clients use."""
    return port if meter is None else await meter.before(name, port)


async def start_all(processes: Sequence[ServerProcess]) -> None:
    """Start processes and wait until all answer."""
    async with asyncio.TaskGroup() as group:
        for process in processes:
            group.create_task(asyncio.to_thread(process.start))


def environment() -> dict[str, str]:
    """Return what the processes of either design inherit: no settings of RDG, and one thread a matrix product."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RDG_")}
    return inherited | {"OPENBLAS_NUM_THREADS": "1"}


def write_task(task: PaperTask, folder: Path) -> None:
    """Write what the services load."""
    (folder / ARCHITECTURE_FILE).write_text(task.architecture)
    (folder / MODEL_FILE).write_bytes(pack(task.model))
    for name, state in task.fitted.items():
        (folder / f"{name}.safetensors").write_bytes(pack(state))


def _service(folder: Path, name: str, port: int, arguments: Sequence[str]) -> ServerProcess:
    command = [sys.executable, "-m", "benchmarks.paper_services", name, str(port), *arguments]
    log = folder / f"{name}-{port}.log"
    return ServerProcess(command, log, lambda: port_is_open(port), environment())
