"""The agent: one model on one device, replaced by each newer release that passes its checks.

A release is checked and kept on disk before it runs, off the event loop; then one reference is assigned. Until that
moment, and if anything is wrong with the release, the version before it answers. The bus may come and go.
Answers are counted, and the counts reported now and then: see edge_agent/observing.py.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from time import monotonic

from bus.bus import Bus
from bus.connect import connect
from bus.errors import BusError
from bus.tasks import tasks
from bus.tracing import failed
from edge_agent.backoff import pauses
from edge_agent.errors import Invalid, NoModel, Refused
from edge_agent.model import Answer, Model
from edge_agent.observing import Observer
from edge_agent.reporting import Reporter
from edge_agent.slots import Slots
from edge_agent.update import check
from learning.samples import Samples
from schemas.flow import ModelReleased
from schemas.model import Manifest
from schemas.tls import SYSTEM, Tls

log = logging.getLogger("rdg.agent")


REPORT_S = 300.0
STOP_S = 3.0  # for the last report


@dataclass(frozen=True)
class _Running:
    """A version, and who counts its answers."""

    model: Model
    observer: Observer


class Agent:
    """Follows the releases of `model` for `device`. It starts with what `slots` holds.

    `predict` and `judge` may be called from any thread; `run` and `follow` belong to one event loop. What was counted
    is reported about every `report_s` seconds, before another version runs, and at the end.

    Raises:
        Invalid: The state directory holds another model.

    """

    def __init__(self, device: str, model: str, slots: Slots, report_s: float = REPORT_S) -> None:
        self.device = device
        self.model = model
        self._slots = slots
        self._report_s = report_s
        self._due = monotonic() + report_s * random.random()  # noqa: S311  not all at once
        self._running: _Running | None = None
        self._reporter = Reporter(device, model)
        if (kept := slots.load()) is not None:
            self._resume(kept)

    @property
    def running(self) -> Manifest | None:
        """What runs now, if anything."""
        return self._running.model.manifest if self._running else None

    def predict(self, samples: Samples) -> Answer:
        """Return what the running version says of each sample; see Model.predict.

        Raises:
            NoModel: No release has come yet.
            Invalid: The samples do not fit the model.

        """
        running = self._running  # one version for the whole answer, whatever comes meanwhile
        if running is None:
            raise NoModel(f"no version of {self.model} runs yet: wait for its first release")
        answer = running.model.predict(samples)
        running.observer.saw(answer)
        return answer

    def judge(self, answer: Answer, labels: Sequence[str]) -> None:
        """Tell which classes an answer's samples really are: that is how forgetting is noticed.

        Only counts leave the device. An answer of a version that runs no more is passed over; one given twice counts
        twice.

        Raises:
            Invalid: There is not one label for each sample.

        """
        running = self._running
        if running and running.model.manifest.version == answer.version:
            running.observer.judged(answer, labels)

    async def run(self, url: str, namespace: str = "rdg", tls: Tls = SYSTEM) -> None:
        """Follow releases on the bus at `url` for ever; without a bus, go on answering and try again.

        Cancelled, it first reports as `follow` does.
        """
        waits = pauses()
        while True:
            try:
                async with connect(url, namespace, tls) as transport:
                    await self.follow(Bus(transport, source=f"rdg/{self.device}"))
            except BusError as error:
                wait_s = next(waits)
                log.warning("waiting for the bus, next try in %.1f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)

    async def follow(self, bus: Bus) -> None:
        """Take each release from the newest on, and report, for ever.

        Cancelled, it first reports what was counted, which takes STOP_S seconds at most.

        Raises:
            BusError: The subscription could not be made.

        """
        releases = bus.follow(ModelReleased, self.model, since="newest", stage="edge_agent")
        async with releases as stream:
            log.info("agent %s follows model %s", self.device, self.model)
            try:
                await self._follow(stream, bus)
            except asyncio.CancelledError:
                self._count_now()
                await self._reporter.flush(bus, STOP_S)
                raise

    async def _follow(self, releases: AsyncIterator[ModelReleased], bus: Bus) -> None:
        async with tasks() as group:
            group.create_task(self._reporter.send(bus), name="send reports")
            group.create_task(self._count(), name="report counts")
            async for released in releases:
                await self._take(released)

    async def _take(self, released: ModelReleased) -> None:
        """Run the release if it is newer and sound. The same release again changes nothing."""
        name = f"{released.manifest.model}@{released.manifest.version}"
        try:
            model = await asyncio.to_thread(self._accepted, released)
        except Refused as error:
            log.warning("refused %s: %s", name, error)
            failed("refused", str(error), error)
            self._reporter.report("refused", self.running, f"{name}: {error}"[:1024])
            return
        if model is None:
            log.info("ignored %s: it is not newer than what runs", name)
            return
        self._start(model)

    async def _count(self) -> None:
        """Report now and then what was counted, for ever; a lost connection does not set the time back."""
        while True:
            await asyncio.sleep(self._due - monotonic())
            self._count_now()
            self._due = monotonic() + self._report_s * random.uniform(0.8, 1.2)  # noqa: S311

    def _count_now(self) -> None:
        if self._running:
            self._reporter.count(self._running.observer.counted())

    def _accepted(self, released: ModelReleased) -> Model | None:
        model = check(released, self.running, self.model)
        if model is not None:
            self._slots.keep(released.manifest, released.parts, self.running)
        return model

    def _resume(self, model: Model) -> None:
        if model.manifest.model != self.model:
            raise Invalid(
                f"{self._slots.root} holds model {model.manifest.model}, not {self.model}:"
                " give another --state"
            )
        self._start(model)

    def _start(self, model: Model) -> None:
        self._count_now()  # the last of the version before
        self._running = _Running(model, Observer(model.manifest.classes))
        log.info("%s", model.describe())
        self._reporter.report("running", model.manifest)
