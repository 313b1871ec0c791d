"""The network in torch, for training, and the making of its parameters.

Parameters are arrays by name everywhere outside; torch tensors stay inside `learning`. Making them
uses numpy's generator, so it neither reads nor moves torch's global random state.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from learning import architecture as arch

Parameters = dict[str, NDArray[np.float32]]


class Network(nn.Module):
    """The network of an architecture, without values until `load_state_dict`; use `build`."""

    def __init__(self, architecture: str, shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.layers = arch.parse(architecture)
        entering = arch.sizes(architecture, shape)
        self.backbone = nn.ModuleDict()
        for index, (layer, size) in enumerate(zip(self.layers, entering, strict=False)):
            if not isinstance(layer, arch.Pool):
                self.backbone[str(index)] = _module(layer, size)
        self.head = _module(arch.Dense(n_classes), entering[-1])

    def forward(self, unit: Tensor) -> Tensor:
        """Return logits (n, n_classes) of samples (n, *shape), float32, channels last."""
        values = _channels_first(unit)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, arch.Pool):
                values = functional.max_pool2d(values, 2)
                continue
            if isinstance(layer, arch.Dense):
                values = values.flatten(1)  # (n, channels*h*w)
            values = functional.relu(self.backbone[str(index)](values))
        logits: Tensor = self.head(values.flatten(1))
        return logits


def build(
    architecture: str, shape: tuple[int, ...], parameters: Mapping[str, NDArray[np.generic]]
) -> Network:
    """Return a network that holds a copy of these parameters, as float32.

    Raises:
        ValueError: The parameters are not those of this architecture and shape.

    """
    found = {name: array.shape for name, array in parameters.items()}
    network = Network(architecture, shape, arch.check_parameters(architecture, shape, found))
    tensors = {name: torch.from_numpy(_float32(array)) for name, array in parameters.items()}
    network.load_state_dict(tensors, assign=True)
    return network


def parameters_of(network: Network) -> Parameters:
    """Return a copy of the network's parameters as arrays."""
    return {name: tensor.detach().numpy().copy() for name, tensor in network.named_parameters()}


def initial_parameters(
    architecture: str, shape: tuple[int, ...], n_classes: int, seed: int
) -> Parameters:
    """Return parameters to start training from; the same seed gives the same bits.

    Weights are uniform with the variance of He et al. 2015 ("Delving Deep into Rectifiers", eq. 10;
    the head's a third of that), biases zero.
    """
    shapes = arch.parameter_shapes(architecture, shape, n_classes)
    rng = np.random.default_rng(seed)
    backbone = {
        name: _uniform(rng, size, gain=6.0)
        for name, size in shapes.items()
        if name.startswith("backbone.")
    }
    return backbone | _head_rows(rng, n_classes, shapes["head.weight"][1])


def grow_head(
    parameters: Mapping[str, NDArray[np.generic]], n_classes: int, seed: int
) -> Parameters:
    """Return a copy whose head has rows for n_classes; all that was there stays bit for bit.

    Raises:
        ValueError: The head already has more rows than n_classes.

    """
    grown = {name: _float32(array) for name, array in parameters.items()}
    known, features = grown["head.weight"].shape
    if known > n_classes:
        raise ValueError(
            f"n_classes: {n_classes}, but the model already knows {known}: give at least that"
        )
    rows = _head_rows(np.random.default_rng(seed), n_classes - known, features)
    return grown | {name: np.concatenate([grown[name], new]) for name, new in rows.items()}


def _module(layer: arch.Conv | arch.Dense, size: tuple[int, ...]) -> nn.Module:
    # On the meta device nothing is allocated and no random number is drawn.
    if isinstance(layer, arch.Conv):
        return nn.Conv2d(size[0], layer.channels, 3, padding=1, device="meta")
    return nn.Linear(int(np.prod(size)), layer.units, device="meta")


def _channels_first(unit: Tensor) -> Tensor:
    if unit.ndim == 2:
        return unit
    return unit.unsqueeze(1) if unit.ndim == 3 else unit.permute(0, 3, 1, 2)


def _float32(array: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.array(array, dtype=np.float32, order="C")


def _head_rows(rng: np.random.Generator, rows: int, features: int) -> Parameters:
    return {
        "head.weight": _uniform(rng, (rows, features), gain=2.0),
        "head.bias": np.zeros(rows, dtype=np.float32),
    }


def _uniform(rng: np.random.Generator, size: tuple[int, ...], gain: float) -> NDArray[np.float32]:
    if len(size) == 1:
        return np.zeros(size, dtype=np.float32)
    bound = np.sqrt(gain / np.prod(size[1:]))
    return rng.uniform(-bound, bound, size).astype(np.float32)
