"""Any message of a type, made from its fields: within their limits, and otherwise as odd as they allow."""

from datetime import UTC
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np
from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from schemas.arrays import ArrayOf
from schemas.job import RehearsalSpec
from schemas.message import Message
from schemas.names import ClassName, Digest, Name, OptionName

M = TypeVar("M", bound=BaseModel)
Limits = tuple[object, ...]

NAME_PATTERN, OPTION_PATTERN, DIGEST_PATTERN, CLASS_PATTERN = (
    str(get_args(kind)[1].pattern) for kind in (Name, OptionName, Digest, ClassName)
)

FEW = 3  # entries of a collection
INT64 = 2**63  # msgpack's integers, in any language

NAMES = st.text("abz059-", min_size=1, max_size=8).filter(lambda text: text[0] != "-")
TEXTS = {  # by hand: what a regular expression gives is long, and slow to find
    NAME_PATTERN: NAMES,
    OPTION_PATTERN: st.text("az09_-", min_size=1, max_size=8).filter(
        lambda text: text[0] not in "_-"
    ),
    DIGEST_PATTERN: st.binary(min_size=32, max_size=32).map(bytes.hex),
    CLASS_PATTERN: st.text(
        st.characters(min_codepoint=32, codec="utf-8", exclude_characters=","), max_size=8
    ).filter(str.strip),
}


@cache
def any_of(kind: type[M]) -> st.SearchStrategy[M]:
    """Valid values of a model; fields with a default are left out now and then."""
    fields = {
        name: _values(field.annotation, tuple(field.metadata))
        for name, field in kind.model_fields.items()
    }
    needed = {name for name, field in kind.model_fields.items() if field.is_required()}
    if kind is RehearsalSpec:  # without a generator, it may not name classes
        fields["generator"], needed = NAMES, needed | {"generator"}
    required = {name: fields[name] for name in fields if name in needed}
    optional = {name: fields[name] for name in fields if name not in needed}
    return st.fixed_dictionaries(required, optional=optional).map(kind.model_validate)


def example(kind: type[M]) -> M:
    """One value of a model: always the same."""
    return examples(kind, 1)[0]


def examples(kind: type[M], number: int) -> list[M]:
    """Some values of a model, the simplest first: always the same."""
    found: list[M] = []

    @settings(
        max_examples=number, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
    )
    @given(any_of(kind))
    def keep(value: M) -> None:
        found.append(value)

    keep()
    return found


def plain(value: object) -> object:
    """The value with its arrays as comparable ones."""
    if isinstance(value, np.ndarray):
        return (value.dtype.name, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return value


def fields_of(message: Message) -> object:
    return plain(message.model_dump())


def _values(annotation: Any, limits: Limits) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], (*limits, *_flat(arguments[1:])))
    array = next((limit for limit in limits if isinstance(limit, ArrayOf)), None)
    if array:
        return _arrays(array)
    if origin in (Union, UnionType):
        return st.one_of([_values(each, limits) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        least, most = _sizes(limits)
        return st.lists(_values(arguments[0], ()), min_size=least, max_size=most).map(tuple)
    if origin is dict:
        key, value = (_values(each, ()) for each in arguments)
        return st.dictionaries(key, value, max_size=FEW)
    return _single(annotation, limits)


def _single(kind: Any, limits: Limits) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any_of(kind)
    if kind is int:
        return st.integers(*_bounds(limits, -INT64, INT64 - 1, 1))
    if kind is float:
        return st.floats(*_bounds(limits, -1e6, 1e6, 1e-6), allow_nan=False)
    if kind is str:
        return _texts(limits)
    known = {
        bool: st.booleans(),
        bytes: st.binary(max_size=8),
        NoneType: st.none(),
    }
    if kind in known:
        return known[kind]
    if kind.__name__ in ("datetime", "AwareDatetime"):
        return st.datetimes(timezones=st.just(UTC))
    return {"UUID": st.uuids()}[kind.__name__]


def _texts(limits: Limits) -> st.SearchStrategy[str]:
    for limit in limits:
        if isinstance(limit, StringConstraints) and limit.pattern:
            return TEXTS[str(limit.pattern)]
    return st.text(min_size=_sizes(limits)[0], max_size=FEW)


def _arrays(array: ArrayOf) -> st.SearchStrategy[Any]:
    shapes = array_shapes(min_dims=array.least, max_dims=array.most, min_side=0, max_side=FEW)
    return st.sampled_from(array.dtypes).flatmap(lambda name: arrays(np.dtype(name), shapes))


def _bounds(limits: Limits, low: Any, high: Any, step: float) -> tuple[Any, Any]:
    """The range within which values lie; one that excludes its end is a step narrower."""
    for limit in limits:
        if isinstance(limit, Ge):
            low = limit.ge
        elif isinstance(limit, Gt):
            low = limit.gt + step  # type: ignore[operator]  # a number, whatever its kind
        elif isinstance(limit, Le):
            high = limit.le
        elif isinstance(limit, Lt):
            high = limit.lt - step  # type: ignore[operator]  # a number, whatever its kind
    return low, high


def _sizes(limits: Limits) -> tuple[int, int]:
    least = max((limit.min_length for limit in limits if isinstance(limit, MinLen)), default=0)
    most = min((limit.max_length for limit in limits if isinstance(limit, MaxLen)), default=FEW)
    return least, min(most, FEW)


def _flat(metadata: Limits) -> list[object]:
    """Field(...) and the like hold several limits in one."""
    flat: list[object] = []
    for each in metadata:
        if isinstance(each, FieldInfo):
            flat += each.metadata
        elif isinstance(each, GroupedMetadata) and not isinstance(each, BaseMetadata):
            flat += [each, *each]
        else:
            flat.append(each)
    return flat
