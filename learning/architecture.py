"""A network as one readable line, such as ``"conv16 pool conv32 pool dense128"``.

Rules, so that any language can read it:

* Words are separated by spaces. ``convN`` is a 3x3 convolution with N output channels, stride 1 and
  one pixel of zero padding, then ReLU. ``pool`` is a 2x2 maximum with stride 2; an odd last row or
  column is dropped. ``denseN`` is a linear layer with N units, then ReLU.
* Images enter as (channels, height, width) and are flattened in that order before the first dense
  layer or the head. After a dense layer only dense layers may follow.
* The head, a linear layer with one row per class, is implied and never written.
* Parameters are named ``backbone.<i>.weight``, ``backbone.<i>.bias``, ``head.weight`` and
  ``head.bias``, where i counts the words from 0. Weights are (out, in, 3, 3) and (out, in).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

MAX_LAYERS = 32
MAX_CHANNELS = 1024
MAX_UNITS = 8192
MAX_PARAMETERS = 50_000_000

_WORD = re.compile(r"(conv|dense)([1-9][0-9]{0,5})|pool")
_SMALLEST_POOLED_SIDE = 8
_DEFAULT_CHANNELS = (16, 32, 64, 64, 64)


@dataclass(frozen=True)
class Conv:
    """3x3 convolution and ReLU; height and width stay as they are."""

    channels: int

    def __str__(self) -> str:
        return f"conv{self.channels}"


@dataclass(frozen=True)
class Pool:
    """2x2 maximum; height and width are halved and rounded down."""

    def __str__(self) -> str:
        return "pool"


@dataclass(frozen=True)
class Dense:
    """Linear layer and ReLU over the flattened input."""

    units: int

    def __str__(self) -> str:
        return f"dense{self.units}"


Layer = Conv | Pool | Dense


def parse(text: str) -> tuple[Layer, ...]:
    """Read an architecture.

    Raises:
        ValueError: A word is unknown, too large or out of place, or there are none or too many.

    """
    layers = tuple(_layer(word) for word in text.split())
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise ValueError(
            f"architecture: {len(layers)} layers, write 1 to {MAX_LAYERS}, such as 'conv16 dense64'"
        )
    for before, layer in pairwise(layers):
        if isinstance(before, Dense) and not isinstance(layer, Dense):
            raise ValueError(
                f"architecture: '{layer}' follows '{before}', put it before all dense layers"
            )
    return layers


def default(shape: tuple[int, ...]) -> str:
    """Return a small network for samples of this shape: (h, w), (h, w, channels) or (features,).

    Images are halved until a side would fall below four pixels, five times at most.
    """
    check_shape(shape)
    if len(shape) == 1:
        return "dense128 dense64"
    side, words = min(shape[:2]), ["conv32"] if min(shape[:2]) < _SMALLEST_POOLED_SIDE else []
    for channels in _DEFAULT_CHANNELS:
        if side >= _SMALLEST_POOLED_SIDE:
            words += [f"conv{channels}", "pool"]
            side //= 2
    return " ".join([*words, "dense128"])


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless one sample can have this shape: (h, w[, channels]) or (features,)."""
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise ValueError(
            f"shape: {shape} is no sample shape, give (height, width), (height, width, channels)"
            " or (features,), all at least 1"
        )


def sizes(architecture: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return what enters each layer and, last, the head: (channels, h, w) or (features,).

    Raises:
        ValueError: The architecture cannot take samples of this shape.

    """
    check_shape(shape)
    channels = shape[2:] or (1,)
    entering = [shape if len(shape) == 1 else (*channels, *shape[:2])]
    for layer in parse(architecture):
        entering.append(_leaving(layer, entering[-1]))
    return tuple(entering)


def parameter_shapes(
    architecture: str, shape: tuple[int, ...], n_classes: int
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every parameter, in forward order.

    Raises:
        ValueError: The architecture does not fit the sample shape, or is too large.

    """
    if n_classes < 1:
        raise ValueError(f"n_classes: {n_classes}, give at least 1")
    layers, entering = parse(architecture), sizes(architecture, shape)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (layer, size) in enumerate(zip(layers, entering, strict=False)):
        if not isinstance(layer, Pool):
            shapes |= _weight_and_bias(f"backbone.{index}", layer, size)
    shapes |= _weight_and_bias("head", Dense(n_classes), entering[-1])
    if (total := sum(map(prod, shapes.values()))) > MAX_PARAMETERS:
        raise ValueError(
            f"architecture: {total} parameters for samples of {shape}, at most {MAX_PARAMETERS}:"
            " add 'pool' or use smaller layers"
        )
    return shapes


def check_parameters(
    architecture: str, shape: tuple[int, ...], found: Mapping[str, tuple[int, ...]]
) -> int:
    """Return the number of classes that parameters of these names and shapes tell apart.

    Raises:
        ValueError: One is missing, unknown or of another shape than the architecture asks for.

    """
    if not found.get("head.weight"):
        raise ValueError("parameters: 'head.weight' is missing, these are not a whole model")
    n_classes = found["head.weight"][0]
    expected = parameter_shapes(architecture, shape, n_classes)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"parameters: {name!r} is {found.get(name, 'missing')}, expected"
                f" {expected.get(name, 'none')}: give the architecture and shape of this model"
            )
    return n_classes


def _layer(word: str) -> Layer:
    match = _WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"architecture: unknown word '{word}', use 'convN', 'pool' or 'denseN'")
    if match[1] is None:
        return Pool()
    size, limit = int(match[2]), MAX_CHANNELS if match[1] == "conv" else MAX_UNITS
    if size > limit:
        raise ValueError(
            f"architecture: '{word}' is too large, use '{match[1]}1' to '{match[1]}{limit}'"
        )
    return Conv(size) if match[1] == "conv" else Dense(size)


def _leaving(layer: Layer, size: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(layer, Dense):
        return (layer.units,)
    if len(size) == 1:
        raise ValueError(
            f"architecture: '{layer}' needs an image, samples of {size} take dense layers"
        )
    channels, height, width = size
    if isinstance(layer, Conv):
        return (layer.channels, height, width)
    if min(height, width) < 2:
        raise ValueError(f"architecture: nothing to pool in {height}x{width} pixels, drop a 'pool'")
    return (channels, height // 2, width // 2)


def _weight_and_bias(
    name: str, layer: Conv | Dense, size: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    if isinstance(layer, Conv):
        return {
            f"{name}.weight": (layer.channels, size[0], 3, 3),
            f"{name}.bias": (layer.channels,),
        }
    return {f"{name}.weight": (layer.units, prod(size)), f"{name}.bias": (layer.units,)}
