"""Options are read by name, type and range."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from learning.options import Options, Range, read


@dataclass(frozen=True)
class Settings:
    count: Annotated[int, Range(1, 8)] = 4
    rate: Annotated[float, Range(0, 1)] = 0.5
    kind: Literal["full", "diag"] = "full"
    fast: bool = False


def test_options_replace_defaults() -> None:
    assert read(Settings, {"count": 8, "fast": True}) == Settings(8, 0.5, "full", True)


def test_an_int_is_taken_for_a_float() -> None:
    rate = read(Settings, {"rate": 1}).rate
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": 1}, "'counts' is unknown; the options are count, rate, kind, fast"),
        ({"count": 9}, "'count' must be between 1 and 8, not 9"),
        ({"count": 2.0}, "'count' must be int, not 2.0"),
        ({"count": True}, "'count' must be int, not True"),
        ({"rate": "high"}, "'rate' must be float, not 'high'"),
        ({"rate": float("nan")}, "'rate' must be between 0 and 1, not nan"),
        ({"kind": "tied"}, "'kind' must be one of 'full', 'diag', not 'tied'"),
        ({"fast": 1}, "'fast' must be bool, not 1"),
    ],
)
def test_a_refusal_names_the_option_and_what_it_takes(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(Settings, options)
