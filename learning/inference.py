"""The network in numpy alone, for processes and devices without torch.

Agrees with `learning.network` to float32 rounding. Memory is bounded: samples go through in batches
whose largest intermediate array stays under `BATCH_BYTES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from learning import architecture as arch
from learning.samples import Samples, to_unit

BATCH_BYTES = 8 * 2**20

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Outputs:
    """What one forward pass says of n samples.

    Attributes:
        probabilities: (n, n_classes); each row sums to 1.
        latents: Root mean square of the values that entered the head, (n,).

    """

    probabilities: NDArray[np.float32]
    latents: NDArray[np.float32]


def predict(
    architecture: str, parameters: Mapping[str, NDArray[np.generic]], samples: Samples
) -> NDArray[np.float32]:
    """Return the probabilities of `forward`."""
    return forward(architecture, parameters, samples).probabilities


def forward(
    architecture: str, parameters: Mapping[str, NDArray[np.generic]], samples: Samples
) -> Outputs:
    """Return class probabilities, and how large the latents were that they came from.

    Args:
        architecture: As in `learning.architecture`.
        parameters: Named and shaped as `architecture.parameter_shapes` says; float16 is widened.
        samples: (n, *shape), n may be 0.

    Raises:
        ValueError: Architecture, parameters and samples do not belong together.

    """
    shape = samples.shape[1:]
    found = {name: array.shape for name, array in parameters.items()}
    n_classes = arch.check_parameters(architecture, shape, found)
    weights = {name: np.asarray(array, dtype=np.float32) for name, array in parameters.items()}
    layers, batch = arch.parse(architecture), _batch_size(architecture, shape)
    probabilities = np.empty((len(samples), n_classes), dtype=np.float32)
    sizes = np.empty(len(samples), dtype=np.float32)
    for start in range(0, len(samples), batch):
        taken = slice(start, start + batch)
        latents = _latents(layers, weights, to_unit(samples[taken]))  # (batch, features)
        squares = np.einsum("nf,nf->n", latents, latents, dtype=np.float64)  # (batch,)
        sizes[taken] = np.sqrt(squares / latents.shape[1])
        logits = _linear(latents, weights["head.weight"], weights["head.bias"])
        probabilities[taken] = _softmax(logits)
    return Outputs(probabilities, sizes)


def _batch_size(architecture: str, shape: tuple[int, ...]) -> int:
    entering = arch.sizes(architecture, shape)
    widest = max(int(np.prod(size)) * (9 if len(size) == 3 else 1) for size in entering)
    return max(1, BATCH_BYTES // (4 * widest))


def _latents(
    layers: tuple[arch.Layer, ...], weights: Weights, unit: NDArray[np.float32]
) -> NDArray[np.float32]:
    values = _channels_first(unit)
    for index, layer in enumerate(layers):
        if isinstance(layer, arch.Pool):
            values = _pool(values)
            continue
        apply = _convolve if isinstance(layer, arch.Conv) else _linear
        values = apply(
            values, weights[f"backbone.{index}.weight"], weights[f"backbone.{index}.bias"]
        )
        np.maximum(values, 0, out=values)
    return _flat(values)


# Between layers images are (channels, n, h, w): a convolution is then one matrix product whose
# result is already in that order, and every copy runs along whole image rows.


def _channels_first(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    if unit.ndim == 2:
        return unit
    return unit[np.newaxis] if unit.ndim == 3 else np.moveaxis(unit, -1, 0)


def _convolve(
    images: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))  # (in, n, h, w, 3, 3)
    columns = windows.transpose(0, 4, 5, 1, 2, 3).reshape(9 * len(images), -1)  # (in*9, n*h*w)
    values: NDArray[np.float32] = weight.reshape(len(weight), -1) @ columns  # (out, n*h*w)
    values += bias[:, np.newaxis]
    return values.reshape(len(weight), *images.shape[1:])


def _linear(
    values: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    return _flat(values) @ weight.T + bias  # (n, units)


def _flat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if values.ndim == 2:
        return values
    return values.transpose(1, 0, 2, 3).reshape(values.shape[1], -1)  # (n, channels*h*w)


def _pool(images: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = (side // 2 * 2 for side in images.shape[2:])
    rows = np.maximum(images[:, :, 0:height:2], images[:, :, 1:height:2])
    return np.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    normalised: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return normalised
