"""`rdg demo`: the main job on scikit-learn's digits.

A user of the same verbs as everybody: it starts `rdg up` and a device (or uses the bus and the store that RDG_BUS and
RDG_STORE name), submits jobs, waits for them, and reads its figures from the store.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from control import plot, results
from control.playground import Playground, playground
from control.verbs import datasets, jobs
from schemas.documents import Device, Job, ModelVersion
from schemas.flow import Progress as Step
from schemas.job import FitSpec, RehearsalSpec, Spec
from schemas.settings import Settings
from store.errors import NotFound

OLD, NEW = tuple("01234"), tuple("56789")
DEVICE = "demo-device"
FITS: dict[str, dict[str, Any]] = {
    "original": {"budget": 20},
    "gmm": {},
    "gan": {"steps": 700},
    "ga": {},
}
COUNTS = {"ga": 100}  # a search takes its time for each sample; the others draw by default
MAIN = "gmm"
SHOWN = 10
PATIENCE_S = 60

say = Console(stderr=True)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, logs and the store.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
) -> None:
    """Learn digits 0-4, delete them, learn 5-9, and still know all ten: the main job, in under a minute.

    Example: rdg demo
    """
    asyncio.run(_demo(out.absolute() / time.strftime("%Y%m%d-%H%M%S"), seed))


async def _demo(folder: Path, seed: int) -> None:
    started = time.monotonic()
    settings = Settings()
    if settings.bus is None:
        settings = settings.model_copy(update={"home": folder})
    model = f"digits-{time.strftime('%H%M%S')}"
    async with playground(settings) as ground:
        await _Play(ground, folder, model, seed).run()
    say.print(f"{time.monotonic() - started:.0f} s in all")


@dataclass(frozen=True)
class _Play:
    """One run of the demo. Names of data and model are its own, so that it can be run again on a shared store."""

    ground: Playground
    folder: Path
    model: str
    seed: int

    @property
    def old_data(self) -> str:
        return f"{self.model}-old"

    @property
    def new_data(self) -> str:
        return f"{self.model}-new"

    @property
    def all_data(self) -> str:
        return f"{self.model}-all"

    async def run(self) -> None:
        _head(1, "digits 0-4 are here: a first model, and a device that follows it")
        await self._add_data()
        await self._work({"first model": self._training(self.old_data)})
        agent = ("agent", "run", "--model", self.model, "--device", DEVICE)
        async with self.ground.running(*agent):
            await self._device_runs(1)
            _head(2, "a generator of each kind learns them; then the originals are deleted")
            await self._work({f"fit {name}": self._fit(name) for name in FITS})
            await datasets.delete(self.ground.store, self.old_data)
            _head(3, "digits 5-9 arrive: generate, predict, label, collect, review, train, release")
            done = await self._work(self._ways())
            _head(4, f"the device has the model that rehearsed with {MAIN}")
            version = await self.ground.store.get(ModelVersion, str(done[MAIN].result))
            await self._device_runs(version.number)
            await self._ask_device()
        _head(5, "figures")
        await self._show(done)

    async def _add_data(self) -> None:
        origins = {self.old_data: OLD, self.new_data: NEW, self.all_data: ()}
        for name, classes in origins.items():
            origin = datasets.Origin("digits", classes)
            splits = await datasets.read(origin, None, self.folder)
            await datasets.add(self.ground.store, name, splits, "digits")

    def _training(self, data: str, **changes: object) -> RehearsalSpec:
        asked = {"model": self.model, "new_data": data, "seed": self.seed}
        return RehearsalSpec.model_validate({**asked, "probe": self.all_data, **changes})

    def _fit(self, name: str) -> FitSpec:
        return FitSpec(
            model=self.model,
            generator=name,
            data=self.old_data,
            options=FITS[name],
            seed=self.seed,
        )

    def _ways(self) -> dict[str, Spec]:
        """Return the jobs that are compared: all start from the first version, one is released."""
        apart = {"base": 1, "release": False}
        rehearsals = {
            name: self._training(
                self.new_data,
                generator=name,
                classes=OLD,
                options=FITS[name],
                **({"count": COUNTS[name]} if name in COUNTS else {}),
                review={"min_count": 0},
                base=1,
                release=name == MAIN,
            )
            for name in FITS
        }
        return {
            "naive": self._training(self.new_data, **apart),
            **rehearsals,
            "joint": self._training(self.all_data, from_scratch=True, **apart),
        }

    async def _work(self, specs: Mapping[str, Spec]) -> dict[str, Job]:
        """Submit jobs, show how they go, and return them when all are done."""
        columns = ("{task.description:<14}", BarColumn(24), "{task.fields[step]}")
        texts = [TextColumn(each) if isinstance(each, str) else each for each in columns]
        store, bus = self.ground.store, self.ground.bus
        with Progress(*texts, TimeElapsedColumn(), console=say) as bars:

            async def one(name: str, spec: Spec) -> Job:
                bar = bars.add_task(name, step="submitted", total=None)

                def show(step: Step) -> None:
                    bars.update(bar, completed=step.done, total=step.total or None, step=step.stage)

                job = await jobs.submit(store, bus, spec)
                job = await jobs.wait(store, bus, job.id, on_progress=show)
                bars.update(bar, completed=1, total=1, step=job.state)
                return job

            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(one(name, spec)) for name, spec in specs.items()}
        done = {name: task.result() for name, task in tasks.items()}
        for name, job in done.items():
            if job.state != "completed":
                say.print(f"{name}: {job.state}: {job.reason}")
                raise typer.Exit(1)
        return done

    async def _device_runs(self, number: int) -> None:
        """Wait until the device has reported that it runs this version."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    device = await self.ground.store.get(Device, DEVICE)
                    if (device.model, device.version) == (self.model, number):
                        break
                except NotFound:
                    pass
                await asyncio.sleep(0.1)
        say.print(f"{DEVICE} reports that it runs {self.model}@{number}")

    async def _ask_device(self) -> None:
        """Let the device answer for a few test digits, in a process that knows nothing but its own files."""
        splits = await datasets.read(datasets.Origin("digits"), None, self.folder)
        test = splits.test or splits.train
        chosen = np.random.default_rng(self.seed).choice(len(test.labels), SHOWN, replace=False)
        path = self.folder / "asked.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, test.samples[chosen])
        said = await self.ground.answer(
            "agent", "predict", str(path), "--device", DEVICE, "--format", "jsonl"
        )
        answers = [json.loads(line) for line in said.splitlines()]
        truth = [test.classes[label] for label in test.labels[chosen]]
        say.print(f"asked for {' '.join(truth)}")
        say.print(f"answers   {' '.join(answer['label'] for answer in answers)}")

    async def _show(self, done: Mapping[str, Job]) -> None:
        store = self.ground.store
        compared = [await results.result_of(store, name, job, OLD) for name, job in done.items()]
        out = Console()
        out.print(results.comparison_table(compared))
        costs = await store.tallies(done[MAIN].id)
        out.print(results.stage_table(f"The {MAIN} job, stage by stage", costs))
        rows = [(each.name, each.old, each.new) for each in compared]
        title = "Learning digits 5-9 after 0-4, originals deleted"
        pictures = [plot.comparison(rows, title, self.folder / "comparison.png")]
        for name in FITS:
            sheet = await results.draw_set(store, done[name], self.folder / f"set-{name}.png")
            pictures += [sheet] if sheet else []
        for path in pictures:
            typer.echo(str(path))


def _head(number: int, text: str) -> None:
    say.print(f"[bold]{number}/5[/] {text}")
