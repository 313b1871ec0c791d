"""Inference without torch agrees with the network that was trained."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learning import architecture, inference
from learning.inference import forward, predict
from learning.network import build, initial_parameters
from learning.samples import Samples, to_unit

CASES = [
    ("conv6 pool conv5 pool dense12", (28, 28)),
    ("conv6 pool conv5 pool dense12", (15, 9)),
    ("conv4 conv4 pool", (12, 10, 3)),
    (architecture.default((32, 32, 3)), (32, 32, 3)),
    (architecture.default((20,)), (20,)),
]


@pytest.mark.parametrize(("text", "shape"), CASES)
@pytest.mark.parametrize("prepare", [np.asarray, to_unit], ids=["uint8", "float32"])
def test_numpy_agrees_with_torch(
    text: str, shape: tuple[int, ...], prepare: Callable[[NDArray[np.uint8]], Samples]
) -> None:
    rng = np.random.default_rng(1)
    parameters = initial_parameters(text, shape, n_classes=7, seed=3)
    parameters = {name: a + np.float32(0.01) for name, a in parameters.items()}  # biases count
    samples = prepare(rng.integers(0, 256, (33, *shape), dtype=np.uint8))
    with torch.no_grad():
        logits = build(text, shape, parameters)(torch.from_numpy(to_unit(samples)))
    expected = torch.softmax(logits, dim=1).numpy()

    probabilities = predict(text, parameters, samples)

    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(("text", "shape"), [*CASES, ("pool", (9, 9, 3))])
def test_latents_are_the_root_mean_square_of_what_enters_the_head(
    text: str, shape: tuple[int, ...]
) -> None:
    samples = np.random.default_rng(1).integers(0, 256, (33, *shape), dtype=np.uint8)
    parameters = initial_parameters(text, shape, n_classes=7, seed=3)
    network, entered = build(text, shape, parameters), list[torch.Tensor]()
    network.head.register_forward_pre_hook(lambda _, values: entered.extend(values))
    with torch.no_grad():
        network(torch.from_numpy(to_unit(samples)))

    latents = forward(text, parameters, samples).latents

    assert (latents.dtype.name, latents.shape) == ("float32", (33,))
    np.testing.assert_allclose(latents, entered[0].square().mean(dim=1).sqrt(), rtol=1e-5)


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = initial_parameters("conv4 pool dense8", (8, 8), n_classes=3, seed=0)
    samples = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    whole = forward("conv4 pool dense8", parameters, samples)
    monkeypatch.setattr(inference, "BATCH_BYTES", 3 * 4 * 9 * 4 * 64)

    parts = forward("conv4 pool dense8", parameters, samples)

    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-6)
    np.testing.assert_allclose(parts.latents, whole.latents, rtol=1e-6)


def test_no_samples_give_no_rows() -> None:
    parameters = initial_parameters("dense4", (6,), n_classes=3, seed=0)
    outputs = forward("dense4", parameters, np.empty((0, 6), dtype=np.float32))
    assert (outputs.probabilities.shape, outputs.latents.shape) == ((0, 3), (0,))


def test_huge_logits_stay_probabilities() -> None:
    parameters = initial_parameters("dense4", (6,), n_classes=3, seed=0)
    parameters = {name: array * np.float32(1e6) for name, array in parameters.items()}
    samples = np.ones((2, 6), dtype=np.float32)
    np.testing.assert_allclose(predict("dense4", parameters, samples).sum(axis=1), 1, rtol=1e-6)


def test_latents_beyond_the_squares_of_float32_are_still_finite() -> None:
    parameters = initial_parameters("dense4", (6,), n_classes=3, seed=0)
    parameters["backbone.0.weight"] *= np.float32(1e25)

    assert 1e20 < forward("dense4", parameters, np.ones((1, 6), np.float32)).latents[0] < np.inf


def test_parameters_of_another_shape_are_refused() -> None:
    parameters = initial_parameters("dense4", (6,), n_classes=3, seed=0)
    with pytest.raises(ValueError, match=r"'backbone.0.weight' is \(4, 6\), expected \(4, 7\)"):
        predict("dense4", parameters, np.zeros((1, 7), dtype=np.float32))


def test_device_modules_import_no_torch() -> None:
    code = (
        "import sys, learning.inference, learning.bundle, learning.metrics, learning.problem;"
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
