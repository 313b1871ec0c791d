"""Which releases may run here: rules alone, no files and no bus.

Nothing of a release is believed. The order is from cheap to dear: name and version, declared sizes, digests, and only
then are the parts parsed. What is kept on disk goes through the same checks whenever it is loaded.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import Refused
from edge_agent.model import Model
from learning.architecture import check_parameters
from learning.bundle import unpack
from schemas.flow import ModelReleased
from schemas.model import Manifest, PartRef

MAX_MODEL_BYTES = 64 * 2**20
DTYPES = ("float16", "float32")


def check(released: ModelReleased, running: Manifest | None, model: str) -> Model | None:
    """Return the released model, ready to run; None if it is not newer than the one that runs.

    Args:
        released: The release, with all its parts inside.
        running: What runs now, if anything.
        model: Name of the model that this device runs.

    Raises:
        Refused: It is another model's, incomplete, damaged, too large, or no model at all.

    """
    manifest = released.manifest
    if manifest.model != model:
        raise Refused(f"it is of model {manifest.model}, this device runs {model}")
    if running and manifest.version <= running.version:
        return None
    return assemble(manifest, released.parts)


def assemble(manifest: Manifest, parts: Mapping[str, bytes]) -> Model:
    """Return the model that the manifest lists, made of parts by digest; float16 is widened.

    Raises:
        Refused: A part is missing or not what the manifest says, or together they are not that model.

    """
    _check_manifest(manifest)
    parameters: dict[str, NDArray[np.generic]] = {}
    for part in manifest.parts:
        arrays = _arrays(part, parts)
        if twice := parameters.keys() & arrays.keys():
            raise Refused(f"part {part.name}: {min(twice)!r} is in another part too")
        parameters |= arrays
    _check_fit(manifest, parameters)
    return Model(manifest, {name: np.asarray(a, np.float32) for name, a in parameters.items()})


def _check_manifest(manifest: Manifest) -> None:
    if len(set(manifest.classes)) < len(manifest.classes):
        raise Refused("classes: a name is there twice")
    total = sum(part.size_bytes for part in manifest.parts)
    if total > MAX_MODEL_BYTES:
        raise Refused(f"its parts have {total} bytes, a device takes {MAX_MODEL_BYTES}")


def _arrays(part: PartRef, parts: Mapping[str, bytes]) -> dict[str, NDArray[np.generic]]:
    data = parts.get(part.digest)
    if data is None:
        raise Refused(f"part {part.name}: {part.digest[:12]} is missing")
    if len(data) != part.size_bytes:
        raise Refused(f"part {part.name}: {len(data)} bytes, the manifest says {part.size_bytes}")
    if sha256(data).hexdigest() != part.digest:
        raise Refused(f"part {part.name}: damaged, its sha256 is not {part.digest[:12]}")
    try:
        arrays = unpack(data)
    except ValueError as error:
        raise Refused(f"part {part.name}: {error}") from error
    for name, array in arrays.items():
        _check_values(f"part {part.name}: {name!r}", array)
    return arrays


def _check_values(where: str, array: NDArray[np.generic]) -> None:
    if array.dtype.name not in DTYPES:
        raise Refused(f"{where} is {array.dtype}, not one of {', '.join(DTYPES)}")
    if not np.isfinite(array).all():
        raise Refused(f"{where} holds NaN or Inf")


def _check_fit(manifest: Manifest, parameters: Mapping[str, NDArray[np.generic]]) -> None:
    found = {name: array.shape for name, array in parameters.items()}
    try:
        n_classes = check_parameters(manifest.architecture, manifest.shape, found)
    except ValueError as error:
        raise Refused(str(error)) from error
    if n_classes != len(manifest.classes):
        raise Refused(f"classes: {len(manifest.classes)} names for a head of {n_classes} rows")
