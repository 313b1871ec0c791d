"""Training in slices that can be resumed anywhere, to the bit.

``begin`` makes a checkpoint, ``advance`` trains it until done or told to pause, and any number of
slices on any replicas give the parameters that one uninterrupted run would give. A checkpoint is a
mapping of arrays, so `learning.bundle` stores it. The same problem, options and seed must come with
it each time.

What makes that exact: batches are drawn from (seed, epoch) alone and images are changed by (seed,
epoch, step); the learning rate follows from how far training is; nothing random is in the network;
Adam's moments are in the checkpoint; and torch runs on one thread, since with more the sums of a
gradient are split by the number of cores and round differently on another machine. Replicas then
also do not fight for cores: scale by running more of them. Processors with other vector instructions,
or another release of torch, may still round differently.

After every epoch the quadratic score on the held-out samples is measured; the best parameters are
kept and, calibrated at the end, are the result. Accuracy would not do: on few samples it ties, and
training stops too early. Held out are new real samples and rehearsal samples: what a server has that
no longer has the old data.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning import losses
from learning.augmentation import augment, suited
from learning.batches import Epoch, count_steps, draw_epoch
from learning.calibration import fit_bias, fold
from learning.metrics import quadratic_score
from learning.network import (
    Network,
    Parameters,
    build,
    grow_head,
    initial_parameters,
    parameters_of,
)
from learning.problem import Examples, Options, Problem, validation_split
from learning.samples import to_unit
from learning.schedule import learning_rate, planned_epochs

Checkpoint = Mapping[str, NDArray[np.generic]]

_VALIDATION_BATCH = 512
_MOMENTS = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}  # ours: torch's


@dataclass(frozen=True)
class _Counters:
    """Where training stands. `step` counts in the epoch, `updates` from the start; `split` is a digest."""

    epoch: int = 0
    step: int = 0
    steps_per_epoch: int = 1
    split: int = 0
    updates: int = 0
    best_score: float = -1.0
    stale: int = 0

    def is_done(self, options: Options) -> bool:
        gave_up = options.patience is not None and self.stale >= options.patience
        return gave_up or self.share_done(options) >= 1

    def share_done(self, options: Options) -> float:
        planned = planned_epochs(options.epochs, self.steps_per_epoch)
        return (self.epoch + self.step / self.steps_per_epoch) / planned


def begin(problem: Problem, options: Options, seed: int) -> Checkpoint:
    """Return the checkpoint before the first step.

    Raises:
        ValueError: The options ask for what the problem does not have, or the seed is negative.

    """
    if seed < 0:
        raise ValueError(f"seed: {seed}, give at least 0")
    _check_loss(problem, options)
    suited(options.augmentation, problem.shape)
    if problem.base is None:
        parameters = initial_parameters(
            problem.architecture, problem.shape, problem.n_classes, seed
        )
    else:
        parameters = grow_head(problem.base, problem.n_classes, seed)
    split = validation_split(problem, options, seed)
    steps = count_steps(len(split.training_new), len(split.training_rehearsal), options.batch_size)
    zeros = {name: np.zeros_like(array) for name, array in parameters.items()}
    return _assemble(
        _Counters(steps_per_epoch=steps, split=split.digest),
        {"parameters": parameters, "best": parameters} | dict.fromkeys(_MOMENTS, zeros),
    )


def advance(
    problem: Problem,
    checkpoint: Checkpoint,
    options: Options,
    seed: int,
    should_pause: Callable[[], bool],
) -> Checkpoint:
    """Train until done or until should_pause() is true; it is asked after every step.

    So every call on unfinished training makes at least one step. The checkpoint given is not
    changed.

    Raises:
        ValueError: The checkpoint is not of this problem.
        FloatingPointError: The loss is no longer finite.

    """
    # Process-wide, and left so: restoring it would change the sums of a slice in another thread.
    torch.set_num_threads(1)
    run = _Run(problem, checkpoint, options, seed)
    while not run.counters.is_done(options):
        run.step()
        if should_pause():
            break
    return run.checkpoint()


def is_done(checkpoint: Checkpoint, options: Options) -> bool:
    """Return whether all epochs are trained or patience is used up."""
    return _counters(checkpoint).is_done(options)


def progress(checkpoint: Checkpoint, options: Options) -> float:
    """Return the share of the work done, in [0, 1]; jumps to 1 if training stops early."""
    counters = _counters(checkpoint)
    if counters.is_done(options):
        return 1.0
    return counters.share_done(options)


def result(checkpoint: Checkpoint) -> Parameters:
    """Return the best parameters on the held-out samples; without those, of the last epoch's end."""
    return _group(checkpoint, "best")


class _Run:
    """One slice: the problem and a checkpoint, taken apart into what torch needs."""

    def __init__(
        self, problem: Problem, checkpoint: Checkpoint, options: Options, seed: int
    ) -> None:
        split = validation_split(problem, options, seed)
        self._problem, self._options, self._seed = problem, options, seed
        self._new = problem.new.take(split.training_new)
        self._replay = problem.replay.take(split.training_rehearsal)
        held_out = (
            problem.new.take(split.validation_new),
            problem.replay.take(split.validation_rehearsal),
        )
        self._held_out = [examples for examples in held_out if len(examples)]
        self._competing = _competing(problem, options)
        self._augmentation = suited(options.augmentation, problem.shape)
        self._network = build(problem.architecture, problem.shape, _group(checkpoint, "parameters"))
        self._best = _group(checkpoint, "best")
        self.counters = _counters(checkpoint)
        self._optimizer = self._restore_adam(checkpoint)
        self._epoch = self._draw_epoch()
        expected = (self.counters.steps_per_epoch, self.counters.split)
        if (len(self._epoch.new), split.digest) != expected:
            raise ValueError("checkpoint: made for other examples or options, begin anew")

    def step(self) -> None:
        """Train on one batch; after an epoch's last, measure and draw the next epoch."""
        at = self.counters.step
        self._optimizer.param_groups[0]["lr"] = self._learning_rate()
        new = self._new.take(self._epoch.new[at])
        replay = self._replay.take(self._epoch.rehearsal[at])
        loss = self._loss(new, replay)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"loss is {loss.item()} in epoch {self.counters.epoch}, step {at}: use a smaller lr"
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self._optimizer.step()
        self.counters = replace(self.counters, step=at + 1, updates=self.counters.updates + 1)
        if self.counters.step == self.counters.steps_per_epoch:
            self._finish_epoch()

    def checkpoint(self) -> Checkpoint:
        groups = {"parameters": parameters_of(self._network), "best": self._best}
        for ours, theirs in _MOMENTS.items():
            groups[ours] = {
                name: self._optimizer.state[tensor][theirs].numpy().copy()
                for name, tensor in self._network.named_parameters()
            }
        return _assemble(self.counters, groups)

    def _restore_adam(self, checkpoint: Checkpoint) -> torch.optim.Adam:
        optimizer = torch.optim.Adam(self._network.parameters(), lr=self._options.lr)
        moments = {theirs: _group(checkpoint, ours) for ours, theirs in _MOMENTS.items()}
        for name, tensor in self._network.named_parameters():
            optimizer.state[tensor] = {
                "step": torch.tensor(float(self.counters.updates)),
                **{key: torch.from_numpy(group[name]) for key, group in moments.items()},
            }
        return optimizer

    def _draw_epoch(self) -> Epoch:
        return draw_epoch(
            self._new.labels,
            self._replay.labels,
            self._options.batch_size,
            self._options.replay_ratio,
            np.random.default_rng([self._seed, self.counters.epoch]),
        )

    def _loss(self, new: Examples, replay: Examples) -> Tensor:
        """Return the batch's loss; all samples weigh the same."""
        unit = np.concatenate([to_unit(new.samples), to_unit(replay.samples)])
        changed = augment(unit, self._augmentation, self._rng_of_step())
        parts = self._network(torch.from_numpy(changed)).split([len(new), len(replay)])
        total = losses.classification(parts[0], torch.from_numpy(new.labels), self._competing)
        if replay.soft is None:
            total = total + losses.classification(parts[1], torch.from_numpy(replay.labels), None)
        else:
            total = total + losses.soft_classification(parts[1], torch.from_numpy(replay.soft))
        for logits, examples in zip(parts, (new, replay), strict=True):
            if self._options.distillation and examples.teacher is not None:
                teacher = torch.from_numpy(examples.teacher)
                softened = losses.distillation(logits, teacher, self._options.temperature)
                total = total + self._options.distillation * softened
        return total / len(unit)

    def _learning_rate(self) -> float:
        done = self.counters.share_done(self._options)
        return learning_rate(self._options.schedule, self._options.lr, done)

    def _rng_of_step(self) -> np.random.Generator:
        # From 1: a last seed word of 0 would give the stream of the epoch's batches.
        return np.random.default_rng([self._seed, self.counters.epoch, self.counters.step + 1])

    def _finish_epoch(self) -> None:
        score = self._score()
        counters = replace(self.counters, epoch=self.counters.epoch + 1, step=0)
        # Without held-out samples the score is NaN, and the latest parameters count as the best.
        if np.isnan(score) or score > counters.best_score:
            self._best = parameters_of(self._network)
            self.counters = replace(counters, best_score=score, stale=0)
        else:
            self.counters = replace(counters, stale=counters.stale + 1)
        self._epoch = self._draw_epoch()
        if self.counters.is_done(self._options):
            self._best = self._calibrated()

    def _score(self) -> float:
        if not self._held_out:
            return float("nan")
        labels, logits = self._measure(self._network)
        return quadratic_score(labels, logits.softmax(dim=1).numpy())

    def _measure(self, network: Network) -> tuple[NDArray[np.int64], Tensor]:
        """Return labels (n,) and logits (n, n_classes) of the held-out samples, at least one."""
        labels = np.concatenate([examples.labels for examples in self._held_out])
        return labels, torch.cat([_logits(network, examples) for examples in self._held_out])

    def _calibrated(self) -> Parameters:
        """Return the best parameters, new classes evened out against the old ones if there are any."""
        if self._options.calibration == "none" or not self._held_out:
            return self._best
        network = build(self._problem.architecture, self._problem.shape, self._best)
        labels, logits = self._measure(network)
        new = np.unique(np.array(self._problem.new_classes, dtype=np.int64))
        return fold(self._best, new, *fit_bias(logits.numpy(), labels, new))


def _check_loss(problem: Problem, options: Options) -> None:
    taught = problem.new.teacher is not None or problem.replay.teacher is not None
    if options.distillation and not taught:
        raise ValueError("distillation: no examples have a teacher, give one or set it to 0")
    lacking = np.setdiff1d(problem.new.labels, problem.replay.labels)
    if options.new_loss == "new" and problem.rehearsal is not None and lacking.size:
        raise ValueError(
            f"new_loss: 'new' needs rehearsal samples of all new classes, none of {lacking.tolist()}:"
            " add them or use 'all'"
        )


def _competing(problem: Problem, options: Options) -> Tensor | None:
    """Return the classes that new samples compete among, ascending; None for all."""
    if options.new_loss == "all":
        return None
    return torch.from_numpy(problem.taught_classes)


@torch.no_grad()
def _logits(network: Network, examples: Examples) -> Tensor:
    batches = [
        network(torch.from_numpy(to_unit(examples.samples[start : start + _VALIDATION_BATCH])))
        for start in range(0, len(examples), _VALIDATION_BATCH)
    ]
    return torch.cat(batches)


def _assemble(counters: _Counters, groups: Mapping[str, Parameters]) -> Checkpoint:
    arrays: dict[str, NDArray[np.generic]] = {
        f"{group}/{name}": array
        for group, parameters in groups.items()
        for name, array in parameters.items()
    }
    return arrays | {name: np.asarray(value) for name, value in asdict(counters).items()}


def _counters(checkpoint: Checkpoint) -> _Counters:
    try:
        values = {field.name: checkpoint[field.name].item() for field in fields(_Counters)}
    except KeyError as error:
        raise ValueError(f"checkpoint: {error} is missing, begin anew") from error
    return _Counters(**values)


def _group(checkpoint: Checkpoint, group: str) -> Parameters:
    """Return a copy of the arrays of one group, by parameter name."""
    prefix = f"{group}/"
    arrays = {
        name.removeprefix(prefix): np.array(array, dtype=np.float32)
        for name, array in checkpoint.items()
        if name.startswith(prefix)
    }
    if not arrays:
        raise ValueError(f"checkpoint: '{prefix}' is missing, begin anew")
    return arrays
