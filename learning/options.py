"""Options of an algorithm, read into a frozen dataclass: names, types and ranges in one place.

The dataclass is the documentation: a field is an option, its default the option's default,
`Annotated[int, Range(1, 8)]` its range in full and `Literal["full", "diag"]` its allowed names.
Every refusal is a ValueError of one line that names the option and what it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Options = Mapping[str, int | float | str | bool]
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """Both ends belong to the range; a NaN belongs to none."""

    low: float
    high: float


def read(kind: type[Settings], options: Options) -> Settings:
    """Return `kind` with its defaults replaced by the options.

    Args:
        kind: A dataclass whose fields are bool, Literal, or Annotated int or float with a Range.
        options: An int is taken where a float is asked for; nothing else is converted.

    Raises:
        ValueError: An unknown name, a wrong type, or a value out of range.

    """
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # any dataclass
    for name in options:
        if name not in names:
            raise ValueError(f"option {name!r} is unknown; the options are {', '.join(names)}")
    return kind(**{name: _checked(name, value, hints[name]) for name, value in options.items()})


def _checked(name: str, value: object, hint: Any) -> object:
    if get_origin(hint) is Literal:
        return _one_of(name, value, get_args(hint))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        return _within(name, _typed(name, value, kind), bounds)
    return _typed(name, value, hint)


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> object:
    if value not in allowed:
        raise ValueError(f"option {name!r} must be one of {_listed(allowed)}, not {value!r}")
    return value


def _typed(name: str, value: object, kind: type) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # `isinstance` would take True for a 1
        raise ValueError(f"option {name!r} must be {kind.__name__}, not {value!r}")
    return value


def _within(name: str, value: Any, bounds: Range) -> object:
    if not bounds.low <= value <= bounds.high:
        raise ValueError(
            f"option {name!r} must be between {bounds.low:g} and {bounds.high:g}, not {value!r}"
        )
    return value


def _listed(allowed: tuple[object, ...]) -> str:
    return ", ".join(repr(choice) for choice in allowed)
