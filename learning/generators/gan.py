"""A class-conditional generative adversarial network, small enough for a CPU.

Generative replay after Shin et al. (2017), arXiv 1705.08690, as in Vora, Suri and Yeturu (2021),
section 2.4. One network draws all classes of a task: the class selects a learned vector that joins
the latent, and the critic judges sample and class together by projection (Miyato and Koyama 2018,
arXiv 1802.05637). What keeps it stable: a hinge loss, spectral normalisation of the critic (Miyato et
al. 2018, arXiv 1802.05957), two learning rates (Heusel et al. 2017, arXiv 1706.08500), and sampling
from the running average of the weights. What is kept are the best averages that a look found, and training
ends when no look finds better ones: see `learning.generators.watch`.

The randomness of a step comes from (seed, step) and arithmetic runs on one thread, so a fit that
paused ends in the same bits as one that did not. A checkpoint is everything that training changes;
the finished state is the averaged sampler alone. The networks are in `learning.generators.networks`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from learning.generators.base import Arrays, Batch, Fit, Generator, Order, Task
from learning.generators.networks import Weights, draw, judge, new_critic, new_sampler
from learning.generators.values import to_samples, value_range
from learning.generators.watch import Draw, Watch, to_tensor
from learning.options import Options, Range, read
from learning.samples import Samples

AVERAGING = 0.998  # of the weights, per step: over about the last 500 steps, fewer at first
CHUNK = 500  # samples drawn at once, which bounds the memory of a large order

log = logging.getLogger("rdg.gan")


@dataclass(frozen=True)
class Settings:
    """Options of `gan`, all read at the fit.

    Attributes:
        steps: Updates of both networks, at most.
        latent: Random numbers behind a sample.
        width: Channels of the widest feature map are twice this, units of a dense layer eight times.
        batch: Samples of a step.
        lr: Learning rate of the sampler; the critic learns twice as fast.
        look: Steps from one look at the quality to the next; a look costs as much as one step to four.
        patience: Looks without a better one, one after the other, that end the training.
        storage: Type of the finished weights.

    """

    steps: Annotated[int, Range(1, 1_000_000)] = 2000
    latent: Annotated[int, Range(1, 1024)] = 32
    width: Annotated[int, Range(1, 512)] = 16
    batch: Annotated[int, Range(1, 4096)] = 64
    lr: Annotated[float, Range(1e-6, 0.1)] = 1e-3
    look: Annotated[int, Range(1, 1_000_000)] = 100
    patience: Annotated[int, Range(1, 1_000_000)] = 8
    storage: Literal["float16", "float32"] = "float16"


def fit(
    task: Task,
    options: Options,
    seed: int,
    checkpoint: Arrays | None,
    should_pause: Callable[[], bool],
) -> Fit:
    """Train on all classes of the task together; a step, with a look where one is due, is a unit of work.

    Raises:
        ValueError: The weights were beyond number at the first look.

    """
    settings = read(Settings, options)
    batches = _Batches(task, settings, seed)
    torch.set_num_threads(1)  # process-wide, and left so: see learning.training.advance
    training = _Training(task, settings, seed, checkpoint)
    while not training.is_over():
        training.update(*batches.of_step(training.step))
        training.look()
        if should_pause() and not training.is_over():
            return Fit(training.checkpoint(), training.step / settings.steps)
    return Fit(_finished(task, training.result(), settings), 1.0)


class _Batches:
    """The real samples, classes and latents of each step, as a function of (seed, step)."""

    def __init__(self, task: Task, settings: Settings, seed: int) -> None:
        self._task, self._settings, self._seed = task, settings, seed
        self._bounds = value_range(task.samples)
        self._classes = np.searchsorted(task.classes(), task.labels)  # (n,), from 0 without gaps

    def of_step(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return real samples (b, *shape) in [-1, 1], classes (b,), latents (2, b, latent)."""
        rng = np.random.default_rng([self._seed, step])
        rows = rng.integers(len(self._classes), size=self._settings.batch)
        low, high = self._bounds
        scaled = (self._task.samples[rows] - low) / np.where(high > low, high - low, 1) * 2 - 1
        size = (2, self._settings.batch, self._settings.latent)
        return torch.from_numpy(scaled), torch.from_numpy(self._classes[rows]), _normal(size, rng)


class _Training:
    """Both networks, their optimisers, the average of the sampler and its watch: what a checkpoint holds."""

    def __init__(
        self, task: Task, settings: Settings, seed: int, checkpoint: Arrays | None
    ) -> None:
        rng = np.random.default_rng([seed])
        classes, shape = len(task.classes()), task.samples.shape[1:]
        self.step = 0
        self._settings, self._shape = settings, shape
        self._sampler = new_sampler(shape, classes, settings.latent, settings.width, rng)
        self._critic = new_critic(shape, classes, settings.width, rng)
        self.average = {name: weight.detach().clone() for name, weight in self._sampler.items()}
        self._optimisers = {
            "sampler": _adam(self._sampler, settings.lr),
            "critic": _adam(self._critic, 2 * settings.lr),
        }
        draw = _drawing(task, settings, seed)
        if checkpoint is None:
            self._watch = Watch.begin(task, draw)
        else:
            self._watch = Watch.resume(checkpoint, task, draw)
            self._restore(checkpoint)

    def update(self, real: Tensor, classes: Tensor, latents: Tensor) -> None:
        """Take one step of the critic and one of the sampler, Miyato et al. (2018), eq. 16 and 17."""
        with torch.no_grad():
            fake = draw(self._sampler, latents[0], self._sampler["vectors"][classes], self._shape)
        verdict = judge(self._critic, torch.cat([real, fake]), classes.repeat(2))  # (2b,)
        on_real, on_fake = verdict.chunk(2)
        loss = functional.relu(1 - on_real).mean() + functional.relu(1 + on_fake).mean()
        _descend(loss, self._critic, self._optimisers["critic"])
        fake = draw(self._sampler, latents[1], self._sampler["vectors"][classes], self._shape)
        loss = -judge(self._critic, fake, classes).mean()
        _descend(loss, self._sampler, self._optimisers["sampler"])
        self._update_average()
        self.step += 1

    def _update_average(self) -> None:
        kept = min(AVERAGING, (1 + self.step) / (10 + self.step))  # little of the first weights
        for name, weight in self._sampler.items():
            self.average[name].lerp_(weight.detach(), 1 - kept)

    def look(self) -> None:
        """Look at the quality if it is time."""
        if self.step % self._settings.look == 0 or self.step == self._settings.steps:
            self._watch.look(self.step, self.average)

    def is_over(self) -> bool:
        """Return whether all steps are taken, or further ones are no use."""
        unimproved = self.step - self._watch.step
        used_up = unimproved >= self._settings.patience * self._settings.look
        return self.step == self._settings.steps or self._watch.collapsed or used_up

    def result(self) -> Weights:
        """Return the best average; ValueError if there was none."""
        watch, steps = self._watch, self._settings.steps
        if not watch.best:
            raise ValueError("option 'lr': training diverged; take a lower one")
        if self.step < steps:
            found = "collapsed" if watch.collapsed else "got no better"
            best = f"the best, a drift of {watch.drift:.3f}, was after step {watch.step}"
            log.info("training ended after step %d of %d: it %s; %s", self.step, steps, found, best)
        return watch.best

    def checkpoint(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that `update` and `look` change."""
        tensors = {f"average.{name}": weight for name, weight in self.average.items()}
        for network, weights in self._networks():
            tensors |= {f"{network}.{name}": weight for name, weight in weights.items()}
            moments = self._optimisers[network].state
            for name, weight in weights.items():
                for moment, tensor in moments[weight].items() if weight in moments else ():
                    tensors[f"{network}.{name}.{moment}"] = tensor
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}
        return arrays | self._watch.checkpoint() | {"step": np.array(self.step)}

    def _restore(self, checkpoint: Arrays) -> None:
        self.step = int(checkpoint["step"])
        for name, weight in self.average.items():
            weight.copy_(to_tensor(checkpoint[f"average.{name}"]))
        for network, weights in self._networks():
            for name, weight in weights.items():
                with torch.no_grad():
                    weight.copy_(to_tensor(checkpoint[f"{network}.{name}"]))
                if weight.requires_grad:
                    self._optimisers[network].state[weight] = {
                        moment: to_tensor(checkpoint[f"{network}.{name}.{moment}"])
                        for moment in ("step", "exp_avg", "exp_avg_sq")
                    }

    def _networks(self) -> tuple[tuple[str, Weights], ...]:
        return ("sampler", self._sampler), ("critic", self._critic)


def _adam(weights: Weights, lr: float) -> torch.optim.Adam:
    learned = [weight for weight in weights.values() if weight.requires_grad]
    return torch.optim.Adam(learned, lr=lr, betas=(0.0, 0.99))


def _descend(loss: Tensor, weights: Weights, optimiser: torch.optim.Adam) -> None:
    """Step along the gradient of these weights only, so that the other network collects none."""
    learned = [weight for weight in weights.values() if weight.requires_grad]
    for weight, gradient in zip(learned, torch.autograd.grad(loss, learned), strict=True):
        weight.grad = gradient
    optimiser.step()


def _finished(task: Task, average: Weights, settings: Settings) -> dict[str, NDArray[Any]]:
    arrays = {name: weight.numpy().astype(settings.storage) for name, weight in average.items()}
    vectors = arrays.pop("vectors")
    return {
        "samples": task.samples[:0],
        "range": value_range(task.samples),
        "latent": np.array(settings.latent),
        **{f"sampler.{name}": array for name, array in arrays.items()},
        **{f"{label}/vector": vectors[row] for row, label in enumerate(task.classes())},
    }


def sample(order: Order) -> Batch:
    """Return as many samples as ordered."""
    like, bounds = order.state["samples"], order.state["range"]
    vector = to_tensor(order.learned()["vector"].astype(np.float32))
    weights = {
        name.removeprefix("sampler."): to_tensor(array.astype(np.float32))
        for name, array in order.state.items()
        if name.startswith("sampler.")
    }
    rng = np.random.default_rng([order.seed, order.label])
    latents = _normal((order.count, int(order.state["latent"])), rng)
    torch.set_num_threads(1)
    return Batch(_drawn(weights, vector, latents, like, bounds))


def _drawing(task: Task, settings: Settings, seed: int) -> Draw:
    """Return what draws samples of a class with weights that are being learned."""
    like, bounds, labels = task.samples[:0], value_range(task.samples), task.classes()

    def draw_class(weights: Weights, label: int, count: int) -> Samples:
        rng = np.random.default_rng([seed, label])
        latents = _normal((count, settings.latent), rng)
        vector = weights["vectors"][labels.index(label)]
        return _drawn(weights, vector, latents, like, bounds)

    return draw_class


def _drawn(
    weights: Weights, vector: Tensor, latents: Tensor, like: Samples, bounds: NDArray[np.float32]
) -> Samples:
    """Return finished samples of the class of a vector (VECTOR,) from latents (n, latent)."""
    with torch.inference_mode():
        drawn = [
            draw(weights, chunk, vector.expand(len(chunk), -1), like.shape[1:])
            for chunk in torch.split(latents, CHUNK)
        ]
    values = (torch.cat(drawn).numpy() + 1) / 2 * (bounds[1] - bounds[0]) + bounds[0]
    return to_samples(values, bounds, like.dtype)


def _normal(size: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal(size, np.float32))


def validate(options: Options) -> None:
    """Raise ValueError that names the option and what it takes."""
    read(Settings, options)


generator = Generator(
    name="gan",
    trusted=False,
    fit=fit,
    sample=sample,
    evolve=None,
    validate=validate,
)
