"""What a network learns from drawn samples alone: how well a generator knows its data, apart from all the rest.

A row is a generator with its options, or `real`: the samples themselves, or, with `principal=100`, what is left of them
on the first 100 principal coordinates of their class. Of each class as many are drawn, the default network learns from
them as a job would teach it, and is judged on a tenth of the real training samples that nothing else has seen. Each row
runs with each seed.

    python -m benchmarks.teaching --data fashion-mnist
    python -m benchmarks.teaching --rows gmm "gmm rank=30 budget_kb=128" --seeds 0 1
    python -m benchmarks.teaching --rows "gan steps=500" "gan steps=2000" --classes 4 5 8 9

Needs `RDG_DATA_DIR`, or downloads.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from benchmarks.arms import SUITED
from benchmarks.rehearsal import development
from benchmarks.report import heading, table
from control.arguments import parse_options
from control.sources import Splits
from control.verbs import datasets
from learning import architecture
from learning.bundle import pack
from learning.generators import load
from learning.generators.base import Batch, Order, Task
from learning.inference import predict
from learning.problem import Examples, Problem
from learning.problem import Options as Training
from learning.training import advance, begin, result
from schemas.settings import Settings

ROWS = (
    "real",
    "real principal=100",
    "real principal=300",
    "gmm",
    *(f"gmm rank={rank} budget_kb=128" for rank in (8, 12, 20, 30)),
)
TOGETHER = 2  # classes that one fit is of: a task's


def read(data: str, classes: Sequence[str]) -> Splits:
    """Return samples to learn from and to be judged on; of no classes, all."""
    settings = Settings()
    reading = datasets.Origin(data), settings.data_dir, settings.home / "downloads"
    train = asyncio.run(datasets.read(*reading)).train
    return development(train.only(classes) if classes else train)


def drawn(row: str, task: Task, count: int, seed: int) -> tuple[Task, int]:
    """Return samples that a row makes of a task, `count` of each class, and how many bytes it keeps."""
    name, *texts = row.split()
    options = parse_options(texts)
    if name == "real":
        return _real(task, count, int(options.get("principal", 0)), seed), 0
    parts, kept = [], 0
    for labels in _together(task.classes()):
        own = np.isin(task.labels, labels)
        part = Task(task.samples[own], task.labels[own], task.n_classes)
        state = load(name).fit(part, options, seed, None, lambda: False).state
        kept += len(pack(state))
        parts += [_served(name, Order(state, label, count, seed, options)) for label in labels]
    return _task(task, parts), kept


def _together(labels: list[int]) -> Iterator[list[int]]:
    return (labels[start : start + TOGETHER] for start in range(0, len(labels), TOGETHER))


def _served(name: str, order: Order) -> NDArray[Any]:
    batch = load(name).sample(order)
    if not isinstance(batch, Batch):
        raise SystemExit(f"{name} asks the deployed model, and there is none here")
    return batch.samples


def _real(task: Task, count: int, principal: int, seed: int) -> Task:
    rng = np.random.default_rng(seed)
    every = [task.of_class(label) for label in task.classes()]
    own = [samples[rng.permutation(len(samples))[:count]] for samples in every]
    return _task(task, [_projected(samples, principal) for samples in own] if principal else own)


def _projected(samples: NDArray[Any], principal: int) -> NDArray[Any]:
    flat = samples.reshape(len(samples), -1).astype(np.float32)
    pca = PCA(principal, random_state=0)
    back = pca.inverse_transform(pca.fit_transform(flat)).reshape(samples.shape)
    return np.asarray(np.clip(np.rint(back), 0, 255), samples.dtype)


def _task(task: Task, parts: Sequence[NDArray[Any]]) -> Task:
    labels = np.repeat(task.classes(), [len(part) for part in parts])
    return Task(np.concatenate(parts), labels, task.n_classes)


def taught(data: str, task: Task, judged: Task, seed: int) -> float:
    """Return the accuracy on real samples of a network that saw the task's alone."""
    shape = task.samples.shape[1:]
    network = architecture.default(shape)
    new = Examples(task.samples, task.labels)
    problem = Problem(network, shape, task.n_classes, new, None, None, ())
    options = Training(augmentation=SUITED[data])
    trained = advance(problem, begin(problem, options, seed), options, seed, lambda: False)
    answers = predict(network, result(trained), judged.samples).argmax(axis=1)
    return float(np.mean(answers == judged.labels))


def measure(row: str, data: str, splits: Splits, count: int, seeds: Sequence[int]) -> list[object]:
    """Return the figures of a row."""
    n_classes = len(splits.train.classes)
    task, judged = (
        Task(split.samples, split.labels, n_classes)
        for split in (splits.train, splits.test or splits.train)
    )
    accuracy, equal, kept, seconds = [], [], 0, []
    for seed in seeds:
        started = time.process_time()
        made, kept = drawn(row, task, count, seed)
        seconds.append(time.process_time() - started)
        equal.append(100 - 100 * len(np.unique(made.samples, axis=0)) / len(made.samples))
        accuracy.append(100 * taught(data, made, judged, seed))
    mean = f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f}"
    return [row, mean, kept / 1024 / n_classes, float(np.mean(equal)), float(np.mean(seconds))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=SUITED, default="mnist")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), metavar="ROW")
    parser.add_argument("--classes", nargs="+", default=[], help="only these")
    parser.add_argument("--count", type=int, default=2000, help="samples drawn of a class")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    asked = parser.parse_args()
    heading(asked.seeds[0], ("numpy", "scikit-learn", "torch"), seeds=asked.seeds)
    splits = read(asked.data, asked.classes)
    rows = [measure(row, asked.data, splits, asked.count, asked.seeds) for row in asked.rows]
    columns = ("drawn by", "accuracy %", "KB/class", "equal to another %", "CPU s of fit and draw")
    table(f"What {asked.count} samples of a class teach, {asked.data}", columns, rows)


if __name__ == "__main__":
    main()
