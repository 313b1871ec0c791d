"""Making, growing and converting parameters."""

import numpy as np
import pytest
import torch

from learning.architecture import parameter_shapes
from learning.network import build, grow_head, initial_parameters, parameters_of

TEXT, SHAPE = "conv4 pool dense8", (8, 8)


def test_initial_parameters_are_those_the_architecture_asks_for() -> None:
    parameters = initial_parameters(TEXT, SHAPE, n_classes=5, seed=0)
    assert {name: a.shape for name, a in parameters.items()} == parameter_shapes(TEXT, SHAPE, 5)
    assert {a.dtype for a in parameters.values()} == {np.dtype(np.float32)}


def test_seed_decides_the_parameters_and_torch_is_not_touched() -> None:
    state = torch.get_rng_state()
    first, again, other = (initial_parameters(TEXT, SHAPE, 5, seed) for seed in (1, 1, 2))
    build(TEXT, SHAPE, first)

    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["head.weight"], other["head.weight"])
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_signal_keeps_its_size_through_depth() -> None:
    text = " ".join(["dense256"] * 8)
    network = build(text, (256,), initial_parameters(text, (256,), 10, seed=0))
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32))
    spread = network(values).std().item()
    assert 0.3 < spread < 3


def test_parameters_survive_the_network() -> None:
    parameters = initial_parameters(TEXT, SHAPE, n_classes=5, seed=0)
    back = parameters_of(build(TEXT, SHAPE, parameters))
    assert back.keys() == parameters.keys()
    assert all(np.array_equal(back[name], parameters[name]) for name in parameters)


def test_network_does_not_share_memory_with_its_parameters() -> None:
    parameters = initial_parameters(TEXT, SHAPE, n_classes=5, seed=0)
    network = build(TEXT, SHAPE, parameters)
    out = parameters_of(network)
    with torch.no_grad():
        network.head.bias.add_(1)  # type: ignore[operator]  # Module says Tensor or Module
    assert not parameters["head.bias"].any()
    assert not out["head.bias"].any()


def test_grown_head_keeps_the_old_rows_bit_for_bit() -> None:
    old = initial_parameters(TEXT, SHAPE, n_classes=3, seed=0)
    grown = grow_head(old, n_classes=5, seed=1)

    assert grown["head.weight"].shape == (5, 8)
    assert grown["head.weight"][:3].tobytes() == old["head.weight"].tobytes()
    assert grown["head.bias"][:3].tobytes() == old["head.bias"].tobytes()
    assert grown["head.weight"][3:].all()
    assert grown["backbone.0.weight"].tobytes() == old["backbone.0.weight"].tobytes()


def test_head_of_the_right_size_is_left_alone() -> None:
    old = initial_parameters(TEXT, SHAPE, n_classes=3, seed=0)
    same = grow_head(old, n_classes=3, seed=1)
    assert all(np.array_equal(same[name], old[name]) for name in old)


def test_head_never_shrinks() -> None:
    old = initial_parameters(TEXT, SHAPE, n_classes=3, seed=0)
    with pytest.raises(ValueError, match="n_classes: 2, but the model already knows 3"):
        grow_head(old, n_classes=2, seed=1)


def test_foreign_parameters_are_refused() -> None:
    parameters = initial_parameters(TEXT, SHAPE, n_classes=3, seed=0)
    with pytest.raises(ValueError, match=r"backbone.0.bias. is \(4,\), expected \(5,\)"):
        build("conv5 pool dense8", SHAPE, parameters)
