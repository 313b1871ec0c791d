"""The two networks of `gan`, as functions of named tensors, for samples of any shape.

Images of at least 8 x 8, grey or with channels last, are convolved; all else goes through dense
layers. Tensors that are not learned (the singular vectors of spectral normalisation) require no
gradient; `judge` refines them in place.
"""

from math import ceil, prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]

VECTOR = 16  # numbers by which the sampler knows a class


def new_sampler(
    shape: tuple[int, ...], classes: int, latent: int, width: int, rng: np.random.Generator
) -> Weights:
    """Return weights for `draw`, with one row of "vectors" for each class."""
    sizes: dict[str, tuple[int, ...]]
    if _is_image(shape):
        cells = ceil(shape[0] / 4) * ceil(shape[1] / 4)
        sizes = {"stem": (2 * width * cells, latent + VECTOR), "middle": (width, 2 * width, 4, 4)}
        sizes["out"] = (_channels(shape), width, 4, 4)
    else:
        sizes = {"stem": (8 * width, latent + VECTOR), "middle": (8 * width, 8 * width)}
        sizes["out"] = (prod(shape), 8 * width)
    weights = _layers(sizes, rng)
    weights["vectors"] = _normal((classes, VECTOR), 1.0, rng)
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def draw(weights: Weights, latent: Tensor, vector: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return samples (n, *shape) in [-1, 1] from latent (n, latent) and class vectors (n, VECTOR)."""
    joined = torch.cat([latent, vector], dim=1)
    stem = functional.linear(joined, weights["stem"], weights["stem.bias"])
    out = _paint(weights, stem, shape) if _is_image(shape) else _compute(weights, stem)
    return torch.tanh(out).reshape(-1, *shape)


def _compute(weights: Weights, stem: Tensor) -> Tensor:
    hidden = _normalised(stem)
    hidden = functional.linear(hidden, weights["middle"], weights["middle.bias"])
    return functional.linear(functional.relu(hidden), weights["out"], weights["out.bias"])


def _paint(weights: Weights, stem: Tensor, shape: tuple[int, ...]) -> Tensor:
    height, width = shape[:2]
    hidden = stem.reshape(len(stem), -1, ceil(height / 4), ceil(width / 4))
    hidden = _double(_normalised(hidden), weights, "middle")  # (n, w, h/2, w/2)
    out = _double(_normalised(hidden), weights, "out")  # (n, channels, h, w) and up to 3 more
    return out[:, :, :height, :width].permute(0, 2, 3, 1)


def _normalised(hidden: Tensor) -> Tensor:
    """Normalise each sample by itself, so that it does not depend on its batch, and rectify."""
    return functional.relu(functional.layer_norm(hidden, hidden.shape[1:]))


def _double(hidden: Tensor, weights: Weights, name: str) -> Tensor:
    """Convolve to twice the height and width."""
    weight, bias = weights[name].transpose(0, 1), weights[f"{name}.bias"]  # inputs come first here
    return functional.conv_transpose2d(hidden, weight, bias, stride=2, padding=1)


def new_critic(
    shape: tuple[int, ...], classes: int, width: int, rng: np.random.Generator
) -> Weights:
    """Return weights for `judge`."""
    sizes: dict[str, tuple[int, ...]]
    if _is_image(shape):
        features = 2 * width * ceil(shape[0] / 4) * ceil(shape[1] / 4)
        sizes = {"first": (width, _channels(shape), 4, 4), "second": (2 * width, width, 4, 4)}
    else:
        features = 8 * width
        sizes = {"first": (features, prod(shape)), "second": (features, features)}
    sizes |= {"score": (1, features), "classes": (classes, features)}
    weights = _layers(sizes, rng)
    del weights["classes.bias"]
    singular = {f"{name}.singular": _normal(size[:1], 1.0, rng) for name, size in sizes.items()}
    return {name: weight.requires_grad_() for name, weight in weights.items()} | singular


def judge(weights: Weights, samples: Tensor, classes: Tensor) -> Tensor:
    """Return how real samples (n, *shape) look for their classes (n,), unbounded, (n,)."""
    shape = tuple(samples.shape[1:])
    layers = {name: _bounded(weights, name) for name in ("first", "second", "score", "classes")}
    hidden = _channels_first(samples) if _is_image(shape) else samples.flatten(1)
    layer = _halve if _is_image(shape) else _dense
    for name in ("first", "second"):
        hidden = functional.leaky_relu(layer(hidden, layers[name], weights[f"{name}.bias"]), 0.2)
    features = hidden.flatten(1)  # (n, features)
    score = functional.linear(features, layers["score"], weights["score.bias"]).squeeze(1)
    return score + (layers["classes"][classes] * features).sum(dim=1)


def _channels_first(samples: Tensor) -> Tensor:
    return samples.reshape(*samples.shape[:3], -1).permute(0, 3, 1, 2)


def _dense(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(hidden, weight, bias)


def _halve(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with a stride of 2; an odd height or width is rounded up."""
    height, width = hidden.shape[2:]
    padded = functional.pad(hidden, (1, 1 + width % 2, 1, 1 + height % 2))
    return functional.conv2d(padded, weight, bias, stride=2)


def _bounded(weights: Weights, name: str) -> Tensor:
    """Return the weight over its largest singular value, Miyato et al. (2018), algorithm 1."""
    matrix, left = weights[name].flatten(1), weights[f"{name}.singular"]
    with torch.no_grad():
        right = functional.normalize(matrix.T @ left, dim=0)
        left.copy_(functional.normalize(matrix @ right, dim=0))
    return weights[name] / (left.clone() @ matrix @ right)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in (2, 3) and min(shape[:2]) >= 8


def _channels(shape: tuple[int, ...]) -> int:
    return shape[2] if len(shape) == 3 else 1


def _layers(sizes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> Weights:
    """Return weights of variance 2 / inputs (He et al. 2015, arXiv 1502.01852) and zero biases."""
    weights = {
        name: _normal(size, (2 / prod(size[1:])) ** 0.5, rng) for name, size in sizes.items()
    }
    return weights | {f"{name}.bias": torch.zeros(size[0]) for name, size in sizes.items()}


def _normal(size: tuple[int, ...], scale: float, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy((scale * rng.standard_normal(size)).astype(np.float32))
