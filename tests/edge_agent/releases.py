"""Releases as the pipeline makes them: a backbone part and a head part."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from learning.architecture import parameter_shapes
from learning.bundle import pack
from schemas.flow import ModelReleased
from schemas.model import Manifest, PartRef, Provenance, Scores

ARCHITECTURE = "conv4 pool dense8"
SHAPE = (8, 8)
CLASSES = ("zero", "one", "two")

Parameters = Mapping[str, NDArray[np.generic]]


def parameters(seed: int) -> dict[str, NDArray[np.generic]]:
    """Return random parameters of ARCHITECTURE."""
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(ARCHITECTURE, SHAPE, len(CLASSES))
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def samples(n: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def split(values: Parameters) -> dict[str, bytes]:
    """Return the bytes of each part by its name."""
    owned: dict[str, dict[str, NDArray[np.generic]]] = {"backbone": {}, "head": {}}
    for name, array in values.items():
        owned["head" if name.startswith("head") else "backbone"][name] = array
    return {part: pack(arrays) for part, arrays in owned.items()}


def release(
    version: int = 1,
    values: Parameters | None = None,
    named: Mapping[str, bytes] | None = None,
    model: str = "digits",
    classes: tuple[str, ...] = CLASSES,
    architecture: str = ARCHITECTURE,
) -> ModelReleased:
    """Return a release whose digests and sizes are right, whatever its parts hold."""
    data = named or split(values or parameters(version))
    refs = {
        name: PartRef(name=name, digest=sha256(part).hexdigest(), size_bytes=len(part))
        for name, part in data.items()
    }
    manifest = Manifest(
        model=model,
        version=version,
        architecture=architecture,
        shape=SHAPE,
        dtype="uint8",
        classes=classes,
        parts=tuple(refs.values()),
        scores=Scores(measured_on="validation", accuracy=0.9, per_class={}),
        provenance=Provenance(job="j1", seed=0, code_version="0"),
        created=datetime(2030, 1, 1, tzinfo=UTC),
    )
    return ModelReleased(
        manifest=manifest, parts={refs[name].digest: part for name, part in data.items()}
    )


def flipped(data: bytes, position: int) -> bytes:
    """Return the bytes with one bit of one byte changed."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def with_parts(released: ModelReleased, parts: Mapping[str, bytes]) -> ModelReleased:
    """Return the release with other bytes under the same digests."""
    return released.model_copy(update={"parts": dict(parts)})
