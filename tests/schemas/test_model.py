"""A model as parts and a manifest: what a device may rely on."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.model import Manifest

MANIFEST: dict[str, Any] = {
    "model": "m",
    "version": 1,
    "architecture": "dense3",
    "shape": (3,),
    "dtype": "float32",
    "classes": ("cat",),
    "parts": ({"name": "head", "digest": "0" * 64, "size_bytes": 1},),
    "scores": {"measured_on": "validation", "accuracy": 1, "per_class": {"cat": 1}},
    "provenance": {"job": "j-1", "seed": 0, "code_version": "1"},
    "created": datetime(2025, 1, 1, tzinfo=UTC),
}


def test_a_manifest_of_a_later_version_is_still_read() -> None:
    assert Manifest.model_validate(MANIFEST | {"signature": "later"}).version == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "../m"),
        ("version", 0),
        ("version", 2**31 + 1),
        ("shape", ()),
        ("shape", (0,)),
        ("shape", (1, 1, 1, 1)),
        ("shape", (5000,)),
        ("dtype", "object"),
        ("classes", ("a,b",)),
        ("parts", ()),
        ("parts", ({"name": "head", "digest": "../etc", "size_bytes": 1},)),
        ("parts", ({"name": "head", "digest": "0" * 64, "size_bytes": -1},)),
        ("scores", {"measured_on": "x", "accuracy": 1.1, "per_class": {}}),
        ("scores", {"measured_on": "x", "accuracy": float("nan"), "per_class": {}}),
        ("created", "yesterday"),
    ],
)
def test_a_manifest_beyond_its_limits_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Manifest.model_validate(MANIFEST | {field: value})


def test_a_manifest_cannot_be_changed() -> None:
    manifest = Manifest.model_validate(MANIFEST)

    with pytest.raises(ValidationError, match="frozen"):
        manifest.version = 2  # type: ignore[misc]  # that is the point
