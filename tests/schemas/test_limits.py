"""Nothing in a message or a document is without a limit: its JSON Schema, which other languages read too, says all."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.documents import DOCUMENTS
from schemas.flow import FLOW

Schema = dict[str, Any]

ENDLESS = re.compile(r"[*+]|,\}")  # quantifiers without an upper end
WHOLE = 2**64


def parts_of(schema: Any) -> Iterator[Schema]:
    """Every schema inside a schema, itself included, but not what a mere `properties` is."""
    if isinstance(schema, list):
        for each in schema:
            yield from parts_of(each)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            inner = value.values() if key in ("properties", "$defs", "patternProperties") else value
            yield from parts_of(list(inner) if inner is not value else value)


def unbounded(schema: Schema) -> bool:
    return {
        "string": _endless_text,
        "integer": _endless_number,
        "array": lambda each: "maxItems" not in each,
        "object": _endless_map,
    }.get(schema.get("type", ""), lambda _: False)(schema)


def _endless_text(schema: Schema) -> bool:
    if "enum" in schema or "const" in schema:
        return False
    if schema.get("format") in ("date-time", "uuid"):
        return False
    return "maxLength" not in schema or bool(ENDLESS.search(schema.get("pattern", "")))


def _endless_number(schema: Schema) -> bool:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    return least is None or most is None or not -WHOLE <= least <= most <= WHOLE


def _endless_map(schema: Schema) -> bool:
    if "properties" in schema or not {"additionalProperties", "patternProperties"} & schema.keys():
        return False  # a model
    keys = list(schema.get("patternProperties", ()))
    named = "maxLength" in schema.get("propertyNames", {})
    return "maxProperties" not in schema or not (keys or named) or any(map(ENDLESS.search, keys))


@pytest.mark.parametrize("kind", [*FLOW, *DOCUMENTS], ids=lambda kind: kind.__name__)
def test_every_text_number_and_collection_has_a_limit(kind: type[BaseModel]) -> None:
    assert [part for part in parts_of(kind.model_json_schema()) if unbounded(part)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "maxLength": 9, "pattern": "^[a-z]+$"},
        {"type": "string", "format": "binary"},
        {"type": "integer", "minimum": 0},
        {"type": "integer", "minimum": 0, "maximum": 2**65},
        {"type": "array", "items": {"type": "null"}},
        {"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 3},
        {"type": "object", "patternProperties": {"^a$": {"type": "null"}}},
    ],
)
def test_what_is_without_a_limit_is_found(schema: Schema) -> None:
    model = {"type": "object", "properties": {"type": {"anyOf": [{"type": "null"}, schema]}}}

    assert [part for part in parts_of(model) if unbounded(part)] == [schema]
