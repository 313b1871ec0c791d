"""Rehearsal on a table: the wines that ship with scikit-learn, 13 measured features, three cultivars.

Two cultivars are learned first, the third later, when the samples of the first two are gone. A third of the samples,
another for each seed, is for the test. Features are scaled by the mean and deviation of the first task: those of the
third cultivar are not known when the first version is trained, and a device needs one scale for good.

    python -m benchmarks.tabular
    python -m benchmarks.tabular --save wine.npz    # the same samples, for `rdg data add`
"""

import argparse
import asyncio
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from benchmarks.arms import ARMS
from benchmarks.incremental import Course, Result, by_class, learn, save, show
from benchmarks.report import heading
from control.sources import Labelled, Splits

CLASSES = ("barolo", "grignolino", "barbera")
TASKS = (CLASSES[:2], CLASSES[2:])
NAMES = ("naive", "gmm", "joint")


def wine(seed: int) -> Splits:
    """Return the samples (n, 13), scaled."""
    samples, labels = load_wine(return_X_y=True)
    parts = train_test_split(
        samples, labels.astype(np.int64), test_size=1 / 3, random_state=seed, stratify=labels
    )
    train, test, train_labels, test_labels = parts
    first = train[train_labels < len(TASKS[0])]
    centre, spread = first.mean(axis=0), first.std(axis=0)
    scaled = [((part - centre) / spread).astype(np.float32) for part in (train, test)]
    return Splits(
        Labelled(scaled[0], train_labels, CLASSES, "wine"),
        Labelled(scaled[1], test_labels, CLASSES, "wine (test)"),
    )


async def compare(name: str, seed: int) -> Result:
    """Learn both tasks as one arm does."""
    return await learn(Course(by_class(wine(seed), TASKS)), ARMS[name], seed)


def main() -> None:
    """Print the table, or write the samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--save", type=Path, help="write the samples here instead")
    asked = parser.parse_args()
    if asked.save:
        save(wine(asked.seeds[0]), asked.save)
        return
    heading(asked.seeds[0], ("numpy", "scikit-learn", "torch"), seeds=asked.seeds)
    results = {name: [asyncio.run(compare(name, seed)) for seed in asked.seeds] for name in NAMES}
    show("Two cultivars, then a third", results)


if __name__ == "__main__":
    main()
