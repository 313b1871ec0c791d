"""Arrays as fields: what they may hold is checked, and what they hold is left alone."""

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas import arrays
from schemas.arrays import Probabilities, Samples, Scores


class Held(BaseModel):
    samples: Samples


def test_an_array_passes_untouched() -> None:
    values = np.zeros((2, 3), np.uint8)

    assert Held(samples=values).samples is values


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([[1, 2]], "expected an array, got list"),
        (np.zeros((2, 3)), "dtype float64 is not one of uint8, float32"),
        (np.zeros((2, 3), object), "dtype object is not one of"),
        (np.zeros(3, np.uint8), "1 dimensions, expected 2 to 4"),
        (np.zeros((1, 1, 1, 1, 1), np.uint8), "5 dimensions, expected 2 to 4"),
    ],
)
def test_another_array_is_refused_with_what_is_expected(value: object, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Held.model_validate({"samples": value})


def test_a_large_array_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 5)

    with pytest.raises(ValidationError, match="6 bytes, at most 5: use smaller shards"):
        Held(samples=np.zeros((2, 3), np.uint8))


def test_probabilities_are_rows_and_scores_a_line() -> None:
    rows: TypeAdapter[object] = TypeAdapter(Probabilities)
    line: TypeAdapter[object] = TypeAdapter(Scores)
    flat = np.zeros(3, np.float32)

    line.validate_python(flat)
    rows.validate_python(flat.reshape(3, 1))
    with pytest.raises(ValidationError):
        rows.validate_python(flat)
    with pytest.raises(ValidationError):
        line.validate_python(flat.reshape(3, 1))


def test_a_shard_of_which_nothing_is_left_is_an_array_too() -> None:
    assert Held(samples=np.zeros((0, 3), np.uint8)).samples.shape == (0, 3)


def test_json_schema_says_what_the_array_may_hold() -> None:
    schema = Held.model_json_schema()["properties"]["samples"]

    assert schema["x-rdg-array"] == {"dtypes": ["uint8", "float32"], "dimensions": [2, 4]}
