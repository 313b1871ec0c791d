"""A package of somebody else's joins by entry point: a generator and a stage, this repository untouched."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ZEBRA = '''
"""A generator that draws stripes, and a stage that counts what was labelled."""

import os
from pathlib import Path

import numpy as np

from bus.stage import Stage
from learning.generators.base import Batch, Fit, Generator
from schemas.flow import SamplesLabelled


def fit(task, options, seed, checkpoint, should_pause):
    return Fit({f"{label}/mean": task.of_class(label).mean(axis=0) for label in task.classes()}, 1.0)


def sample(order):
    noise = np.random.default_rng(order.seed).normal(0, 20, (order.count, 8, 8))
    return Batch(np.clip(order.learned()["mean"] + noise, 0, 255).astype(np.uint8))


generator = Generator("zebra", False, fit, sample, None, lambda options: None)


def stage(resources):
    async def handle(message):
        with Path(os.environ["ZEBRA_LOG"]).open("a") as log:
            log.write(f"{message.order.target} {len(message.samples)}\\n")
        return
        yield

    return Stage("auditing", consumes=(SamplesLabelled,), produces=(), handle=handle)
'''

RUN = """
import asyncio, sys
from pathlib import Path
from schemas.job import FitSpec, RehearsalSpec, Training
from tests.pipeline.system import NAMES, add_digits, embedded

async def main(folder):
    async with embedded(folder) as system:
        await add_digits(system.store, "old", NAMES[:5])
        await add_digits(system.store, "new", NAMES[5:])
        quick = Training(epochs=3)
        await system.run("j-1", RehearsalSpec(model="m", new_data="old", training=quick))
        await system.run("j-2", FitSpec(model="m", generator="zebra", data="old"))
        job = await system.run("j-3", RehearsalSpec(
            model="m", new_data="new", generator="zebra", classes=NAMES[:5], count=20, training=quick,
            filter={"min_confidence": 0}, review={"min_count": 0}))
        print(job.state, job.reason)

asyncio.run(main(Path(sys.argv[1])))
"""


def wheel(folder: Path) -> Path:
    """Write the package as a wheel: a zip with its metadata."""
    path = folder / "zebra-1.0-py3-none-any.whl"
    info = "zebra-1.0.dist-info"
    entry_points = (
        "[rdg.generators]\nzebra = zebra:generator\n[rdg.stages]\nauditing = zebra:stage\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zebra.py", ZEBRA)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: zebra\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points)
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_an_installed_package_adds_a_generator_and_a_stage(tmp_path: Path) -> None:
    site, log = tmp_path / "site", tmp_path / "audit.txt"
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([sys.executable, *install, str(wheel(tmp_path))], check=True, timeout=60)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{site}:{root}", "ZEBRA_LOG": str(log)}

    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "home")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.stdout.strip() == "completed", ran.stderr
    counted = log.read_text().splitlines()
    assert len(counted) == 10  # a shard for each of ten classes
    assert "5 20" in counted  # a class that the model does not know yet is kept whole
