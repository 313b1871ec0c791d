"""The architecture line: what it may say, and the parameters it asks for."""

from math import prod

import pytest

from learning.architecture import (
    MAX_LAYERS,
    Conv,
    Dense,
    Pool,
    check_parameters,
    default,
    parameter_shapes,
    parse,
    sizes,
)


def test_words_become_layers() -> None:
    assert parse(" conv16 pool  dense128 ") == (Conv(16), Pool(), Dense(128))


def test_layers_print_as_they_are_written() -> None:
    assert " ".join(map(str, parse("conv16 pool dense128"))) == "conv16 pool dense128"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conv16 drop", "unknown word 'drop'"),
        ("conv0", "unknown word 'conv0'"),
        ("conv٣", "unknown word"),
        ("pool2", "unknown word 'pool2'"),
        ("dense-4", "unknown word 'dense-4'"),
        ("conv1025", "'conv1' to 'conv1024'"),
        ("dense8193", "'dense1' to 'dense8192'"),
        ("", "0 layers"),
        ("dense4 " * (MAX_LAYERS + 1), "33 layers"),
        ("dense4 pool", "'pool' follows 'dense4'"),
    ],
)
def test_bad_architecture_names_the_word_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"architecture: .*{said}"):
        parse(text)


@pytest.mark.parametrize(
    ("shape", "architecture"),
    [
        ((4, 4), "conv32 dense128"),
        ((8, 8), "conv16 pool dense128"),
        ((28, 28), "conv16 pool conv32 pool dense128"),
        ((32, 32, 3), "conv16 pool conv32 pool conv64 pool dense128"),
        ((64,), "dense128 dense64"),
    ],
)
def test_default_network_suits_the_sample_size(shape: tuple[int, ...], architecture: str) -> None:
    assert default(shape) == architecture


@pytest.mark.parametrize("shape", [(1, 1), (9, 300), (512, 512, 4), (1,)])
def test_every_default_fits_its_shape(shape: tuple[int, ...]) -> None:
    assert parameter_shapes(default(shape), shape, n_classes=10)["head.bias"] == (10,)


@pytest.mark.parametrize("shape", [(), (8, 8, 3, 1), (0,), (8, -1)])
def test_impossible_sample_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape: "):
        default(shape)


def test_parameters_are_numbered_by_word_and_flattened_by_channel() -> None:
    assert parameter_shapes("conv4 pool dense6", (7, 9, 3), n_classes=2) == {
        "backbone.0.weight": (4, 3, 3, 3),
        "backbone.0.bias": (4,),
        "backbone.2.weight": (6, 4 * 3 * 4),
        "backbone.2.bias": (6,),
        "head.weight": (2, 6),
        "head.bias": (2,),
    }


def test_sizes_end_with_what_enters_the_head() -> None:
    assert sizes("conv4 pool", (6, 6)) == ((1, 6, 6), (4, 6, 6), (4, 3, 3))


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        ("conv4", (12,), "'conv4' needs an image"),
        ("pool", (12,), "'pool' needs an image"),
        ("pool pool", (3, 3), "nothing to pool in 1x1"),
        ("conv1024 dense8192", (64, 64), "at most 50000000"),
    ],
)
def test_architecture_that_does_not_fit_the_samples_is_refused(
    text: str, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        parameter_shapes(text, shape, n_classes=2)


def test_parameters_tell_the_number_of_classes() -> None:
    shapes = parameter_shapes("conv4 dense6", (8, 8), n_classes=7)
    assert check_parameters("conv4 dense6", (8, 8), shapes) == 7
    assert sum(map(prod, shapes.values())) == 40 + 6 * 256 + 6 + 49


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head.weight": ()}, "'head.weight' is missing"),
        ({"backbone.0.weight": (5, 12)}, r"'backbone.0.weight' is \(5, 12\), expected \(6, 12\)"),
        ({"backbone.9.bias": (1,)}, r"'backbone.9.bias' is \(1,\), expected none"),
        ({"head.weight": (0, 6)}, "n_classes: 0"),
    ],
)
def test_foreign_parameters_are_refused(change: dict[str, tuple[int, ...]], said: str) -> None:
    shapes = parameter_shapes("dense6", (12,), n_classes=3) | change
    with pytest.raises(ValueError, match=said):
        check_parameters("dense6", (12,), shapes)


def test_missing_parameter_is_named() -> None:
    shapes = parameter_shapes("dense6", (12,), n_classes=3)
    del shapes["backbone.0.bias"]
    with pytest.raises(ValueError, match=r"'backbone.0.bias' is missing, expected \(6,\)"):
        check_parameters("dense6", (12,), shapes)
