"""What Avalanche's replay makes of the tasks that benchmarks/rehearsal.py learns, for the table of docs/learning.md.

Data, order of the classes, network and its first weights, epochs, batch size, optimiser and learning rate are those of
our arms, and the optimiser starts anew with each task, as ours does. (By default Avalanche's goes on; with Adam that
left the network without replay with one answer for everything.) The rest is as Avalanche has it: each batch of new
samples comes with as many replayed ones, images are normalised as in its own Split-MNIST, which its VAE expects, and
nothing shifts images or lowers the rate, which ours do.

    pip install avalanche-lib
    python -m benchmarks.peers.avalanche_replay --data mnist --seeds 0

Needs `RDG_DATA_DIR`, or downloads, and a torchvision of the same build as torch: beside a CPU build of torch, PyPI's
cannot be imported.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import tensors_benchmark  # type: ignore[import-not-found]
from avalanche.training.determinism.rng_manager import (  # type: ignore[import-not-found]
    RNGManager,
)
from avalanche.training.plugins import (  # type: ignore[import-not-found]
    EvaluationPlugin,
    ReplayPlugin,
)
from avalanche.training.supervised import (  # type: ignore[import-not-found]
    DER,
    GenerativeReplay,
    Naive,
    Replay,
)
from torch import Tensor, nn

from benchmarks.arms import DATA, EPOCHS
from benchmarks.report import table, version_of
from control.sources import Labelled, Splits
from control.verbs import datasets
from learning import architecture
from learning.network import build, initial_parameters
from schemas.job import Training
from schemas.settings import Settings

TASKS = 5
CLASSES = 10
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST, as in Avalanche's SplitMNIST
TRAINING = Training()


@dataclass(frozen=True)
class Strategy:
    """One of Avalanche's, and what it is asked for beyond its defaults."""

    kind: type[Any]
    options: Mapping[str, int] = field(default_factory=dict)


STRATEGIES = {
    "naive": Strategy(Naive),
    "replay-500": Strategy(Replay, {"mem_size": 500}),
    "replay-2000": Strategy(Replay, {"mem_size": 2000}),
    "der-2000": Strategy(DER, {"mem_size": 2000}),  # DER++, by its default weights
    "generative": Strategy(GenerativeReplay),
}


@dataclass(frozen=True)
class Run:
    """What one pass over the tasks gave; accuracy is on all test samples, bytes are of all classes."""

    accuracy: float
    bytes_kept: int
    seconds: float


def measure(asked: Strategy, splits: Splits, seed: int) -> Run:
    """Learn task after task, and score the result."""
    RNGManager.set_random_seeds(seed)
    network = _network(splits.train.samples.shape[1:], seed)
    strategy = asked.kind(
        model=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=TRAINING.lr),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=TRAINING.batch_size,
        train_epochs=EPOCHS,
        evaluator=EvaluationPlugin(),
        **asked.options,
    )
    started = time.process_time()
    with redirect_stdout(sys.stderr):  # where its progress bars go
        for experience in _tasks(splits.train):
            strategy.train(experience, reset_optimizer_state=True)
    seconds = time.process_time() - started
    return Run(_accuracy(network, splits), _kept(strategy), seconds)


def _network(shape: tuple[int, ...], seed: int) -> nn.Module:
    """Return our default network behind a layer that drops the axis of the one channel."""
    words = architecture.default(shape)
    ours = build(words, shape, initial_parameters(words, shape, CLASSES, seed))
    return nn.Sequential(nn.Flatten(1, 2), ours)


def _tasks(train: Labelled) -> Any:
    """Return the stream of tasks, two classes in each, in the order of the labels."""
    images, labels, task = _images(train), train.labels, train.labels * TASKS // CLASSES
    own = [(images[task == each], torch.from_numpy(labels[task == each])) for each in range(TASKS)]
    scenario = tensors_benchmark(
        own, own[:1], task_labels=[0] * TASKS
    )  # its test stream is not used
    return scenario.train_stream


def _images(split: Labelled) -> Tensor:
    """Return samples (n, 1, h, w), normalised."""
    unit = torch.from_numpy(split.samples)[:, None].float() / 255
    return (unit - MEAN) / DEVIATION


@torch.no_grad()
def _accuracy(network: nn.Module, splits: Splits) -> float:
    assert splits.test is not None
    network.eval()
    answers = [network(part).argmax(1) for part in torch.split(_images(splits.test), 1000)]
    return float(np.mean(torch.cat(answers).numpy() == splits.test.labels))


def _kept(strategy: Any) -> int:
    """Count what is kept of earlier tasks beside the model: a pixel is a byte, a weight or a logit four."""
    keepers = [each for each in strategy.plugins if isinstance(each, ReplayPlugin)]
    keepers += [strategy] if isinstance(strategy, DER) else []
    kept = [sample for each in keepers for sample in each.storage_policy.buffer]
    stored = sum(  # each is an image, its class and task, and of DER its logits
        image.numel() + 4 * sum(each.numel() for each in logits) for image, _, _, *logits in kept
    )
    generator = getattr(strategy, "generator_strategy", None)
    weights = generator.model.parameters() if generator else ()
    return int(stored + 4 * sum(weight.numel() for weight in weights))


def _row(data: str, name: str, runs: list[Run]) -> list[object]:
    accuracy = [100 * run.accuracy for run in runs]
    size = np.mean([run.bytes_kept for run in runs]) / CLASSES / 1024
    shown = f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f}"
    return [data, name, shown, f"{size:.1f}", np.mean([run.seconds for run in runs]), len(runs)]


def main() -> None:
    """Run what is asked for, one after the other, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings, rows = Settings(), []
    for data in asked.data:
        reading = datasets.read(
            datasets.Origin(data), settings.data_dir, settings.home / "downloads"
        )
        splits = asyncio.run(reading)
        for name in asked.strategies:
            runs = [measure(STRATEGIES[name], splits, seed) for seed in asked.seeds]
            rows.append(_row(data, name, runs))
            sys.stderr.write(f"\n{rows[-1]}\n")
    versions = ", ".join(f"{name} {version_of(name)}" for name in ("avalanche-lib", "torch"))
    columns = ("data", "strategy", "accuracy %", "KB/class", "CPU s", "runs")
    table(f"Avalanche, seeds {asked.seeds}; {versions}", columns, rows)


if __name__ == "__main__":
    main()
