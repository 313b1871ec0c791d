"""Only a newer, whole and sound release of the right model is taken."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent import update
from edge_agent.errors import Refused
from edge_agent.update import assemble, check
from learning.bundle import pack
from tests.edge_agent.releases import flipped, parameters, release, split, with_parts

Spoil = Callable[[dict[str, NDArray[np.generic]]], None]


def test_newer_release_is_taken() -> None:
    released = release(2)

    model = check(released, release(1).manifest, "digits")

    assert model is not None
    assert model.manifest == released.manifest
    assert model.parameters.keys() == parameters(2).keys()


@pytest.mark.parametrize("version", [1, 2])
def test_older_or_equal_release_is_ignored(version: int) -> None:
    assert check(release(version), release(2).manifest, "digits") is None


def test_release_of_another_model_is_refused() -> None:
    with pytest.raises(Refused, match="of model faces, this device runs digits"):
        check(release(model="faces"), None, "digits")


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("position", [0, 20, -1])
def test_flipped_bit_in_any_part_is_refused(part: int, position: int) -> None:
    released = release()
    ref = released.manifest.parts[part]
    damaged = {**released.parts, ref.digest: flipped(released.parts[ref.digest], position)}

    with pytest.raises(Refused, match=f"part {ref.name}: damaged"):
        check(with_parts(released, damaged), None, "digits")


@pytest.mark.parametrize("part", [0, 1])
def test_missing_part_is_refused(part: int) -> None:
    released = release()
    ref = released.manifest.parts[part]
    rest = {digest: data for digest, data in released.parts.items() if digest != ref.digest}

    with pytest.raises(Refused, match=f"part {ref.name}: .* is missing"):
        check(with_parts(released, rest), None, "digits")


def test_part_of_another_size_is_refused() -> None:
    released = release()
    longer = {digest: data + b"\0" for digest, data in released.parts.items()}

    with pytest.raises(Refused, match=r"part backbone: .* bytes, the manifest says"):
        check(with_parts(released, longer), None, "digits")


def test_size_is_bounded_before_any_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    released = release()
    monkeypatch.setattr(update, "MAX_MODEL_BYTES", 1000)

    with pytest.raises(Refused, match="a device takes 1000"):
        check(with_parts(released, {}), None, "digits")


def test_part_that_is_no_safetensors_file_is_refused() -> None:
    parts = {**split(parameters(1)), "head": b"\x08\0\0\0\0\0\0\0no json!"}

    with pytest.raises(Refused, match="part head: not a safetensors file"):
        check(release(named=parts), None, "digits")


@pytest.mark.parametrize("name", ["backbone.0.weight", "head.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_value_that_is_not_finite_is_refused(
    name: str, value: float, dtype: type[np.floating]
) -> None:
    values = parameters(1)
    spoiled = values[name].astype(dtype)
    spoiled.flat[-1] = value

    with pytest.raises(Refused, match=f"'{name}' holds NaN or Inf"):
        check(release(values={**values, name: spoiled}), None, "digits")


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_dtype_that_is_not_agreed_is_refused(dtype: type[np.generic]) -> None:
    values = parameters(1)
    values["head.bias"] = values["head.bias"].astype(dtype)

    with pytest.raises(Refused, match=r"'head.bias' is .*, not one of float16, float32"):
        check(release(values=values), None, "digits")


def test_half_precision_is_widened() -> None:
    halves = {name: array.astype(np.float16) for name, array in parameters(1).items()}
    released = release(values=halves)

    model = assemble(released.manifest, released.parts)

    assert {array.dtype for array in model.parameters.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(model.parameters["head.bias"], halves["head.bias"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("head.weight"),
        lambda values: values.pop("backbone.0.bias"),
        lambda values: values.update({"head.bias": np.zeros(4, np.float32)}),
        lambda values: values.update({"head.weight": np.zeros((3, 9), np.float32)}),
        lambda values: values.update({"head.weight": np.zeros((), np.float32)}),
        lambda values: values.update({"backbone.7.weight": np.zeros(1, np.float32)}),
    ],
)
def test_tensors_that_do_not_fit_the_architecture_are_refused(spoil: Spoil) -> None:
    values = parameters(1)
    spoil(values)

    with pytest.raises(Refused, match="parameters: "):
        check(release(values=values), None, "digits")


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(Refused, match="unknown word 'attention8'"):
        check(release(architecture="attention8"), None, "digits")


def test_tensor_in_two_parts_is_refused() -> None:
    parts = split(parameters(1))
    again = pack({"head.bias": parameters(1)["head.bias"]})

    with pytest.raises(Refused, match=r"'head.bias' is in another part too"):
        check(release(named={**parts, "again": again}), None, "digits")


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (("a", "b", "a"), "a name is there twice"),
        (("a", "b"), "2 names for a head of 3 rows"),
        ((), "0 names for a head of 3 rows"),
    ],
)
def test_class_names_must_be_those_of_the_head(classes: tuple[str, ...], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        check(release(classes=classes), None, "digits")


def test_reason_is_one_bounded_line() -> None:
    reason = str(Refused("a\nb\n" + "c" * 9999))

    assert reason.startswith("a b c")
    assert len(reason) == 1024
