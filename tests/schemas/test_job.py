"""What a publisher may ask for: a slip of the pen is an error, never a silence."""

from dataclasses import asdict
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, TypeAdapter, ValidationError

from learning.generators import BUILT_IN
from schemas.job import Asked, Filter, FitSpec, Gates, RehearsalSpec, Review, Spec, Training
from tests.schemas.messages import any_of

REHEARSAL = {"kind": "rehearsal", "model": "m", "new_data": "d"}
FIT = {"kind": "fit", "model": "m", "generator": "gmm", "data": "d"}
READ: TypeAdapter[RehearsalSpec | FitSpec] = TypeAdapter(Spec)


@pytest.mark.parametrize("kind", [Filter, Review, Training, Gates])
def test_a_field_that_does_not_exist_is_an_error(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match=r"min_confidense\n.*Extra inputs"):
        kind.model_validate({"min_confidense": 1})


@pytest.mark.parametrize("asked", [REHEARSAL, FIT])
def test_a_specification_with_a_field_too_many_is_an_error(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"generatr\n.*Extra inputs"):
        READ.validate_python(asked | {"generatr": "gmm"})


def test_every_part_of_a_specification_forbids_extra_fields() -> None:
    parts: list[type[Asked]] = [Asked, *Asked.__subclasses__()]

    assert len(parts) >= 7
    assert all(part.model_config["extra"] == "forbid" for part in parts)


def test_the_kind_says_which_specification_it_is() -> None:
    assert isinstance(READ.validate_python(REHEARSAL), RehearsalSpec)
    assert isinstance(READ.validate_python(FIT), FitSpec)
    with pytest.raises(ValidationError, match="kind"):
        READ.validate_python({"kind": "prune"})


def test_classes_need_a_generator_and_the_error_says_so() -> None:
    with pytest.raises(ValidationError, match="classes: rehearsal needs a generator; add --gen"):
        READ.validate_python(REHEARSAL | {"classes": ["cat"]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "Digits"),
        ("new_data", "a/b"),
        ("generator", ""),
        ("classes", ["a,b"]),
        ("count", 0),
        ("count", 1_000_001),
        ("seed", -1),
        ("seed", 2**32),
        ("base", 0),
        ("probe", "-x"),
        ("options", {"rate": float("inf")}),
        ("filter", {"min_confidence": 1.1}),
        ("filter", {"min_confidence": float("nan")}),
        ("filter", {"min_distance": -0.1}),
        ("labels", {"kind": "guessed"}),
        ("labels", {"soft_weight": 1.1}),
        ("labels", {"min_correction": -0.1}),
        ("review", {"mode": "maybe"}),
        ("review", {"min_balance": -0.1}),
        ("training", {"epochs": 0}),
        ("training", {"lr": 0}),
        ("training", {"validation": 0.6}),
        ("training", {"replay_ratio": 1}),
        ("training", {"replay_ratio": "most"}),
        ("training", {"schedule": "linear"}),
        ("training", {"augmentation": "blur"}),
        ("training", {"calibration": "norm"}),
        ("gates", {"min_accuracy": 1.1}),
        ("gates", {"max_forgetting": -0.1}),
    ],
)
def test_a_value_beyond_its_limits_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        READ.validate_python(REHEARSAL | {"generator": "gmm", field: value})


@given(any_of(FitSpec))
@settings(max_examples=25, deadline=None)
def test_a_specification_survives_json(spec: FitSpec) -> None:
    assert READ.validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_of_a_generator_may_be_asked_for(name: str) -> None:
    module = import_module(f"learning.generators.{name}")
    options = asdict(module.Settings())

    spec = READ.validate_python(FIT | {"generator": name, "options": options})

    assert spec.options == options


def test_options_keep_their_types() -> None:
    options = {"a": True, "b": 1, "c": 1.0, "d": "1"}

    spec = READ.validate_json(READ.dump_json(READ.validate_python(FIT | {"options": options})))

    assert [type(value) for value in spec.options.values()] == [bool, int, float, str]
