"""The user's own arrays, from one .npz file.

Names read, one of each line, and no others:

    training samples   `samples`, `x` or `x_train`
    training labels    `labels`, `y` or `y_train`
    test samples       `test_samples` or `x_test`   (optional, with its labels)
    test labels        `test_labels` or `y_test`
    class names        `classes`                    (optional)

Samples are images (n, h, w), (n, h, w, 1) or (n, h, w, 3), or rows (n, d). Images are kept as
bytes: whole numbers must be in 0..255, real numbers in [0, 1] and are scaled by 255 and rounded, which
a note says. Rows become float32. Labels are whole numbers or text, (n,). With `classes`, numbers
are indices into it and text is looked up in it; without, the classes are the distinct training
labels, sorted.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from control.sources.errors import InvalidData, reading
from control.sources.labelled import MAX_NAME, Labelled, Labels, Samples, Splits, check_size
from control.sources.npz import load
from learning.npz import Array

ROLES = {
    "samples": ("samples", "x", "x_train"),
    "labels": ("labels", "y", "y_train"),
    "test samples": ("test_samples", "x_test"),
    "test labels": ("test_labels", "y_test"),
    "classes": ("classes",),
}
NUMBERS = "iuf"
WHOLE = "iu"
TEXT = "US"
MAX_TEXT_BYTES = 4 * MAX_NAME  # a character has four at most
BLOCK = 2**18  # values


def read(path: Path) -> Splits:
    """Read one file.

    Raises:
        SourceError: Damaged, too large, an unknown or missing name, or arrays of another kind.

    """
    arrays = _by_role(load(path), path)
    values = _distinct(arrays, path)
    names = tuple(str(name) for name in _texts(arrays.get("classes", values), path).tolist())
    train, notes = _split(arrays["samples"], arrays["labels"], values, names, f"{path}")
    if "test samples" not in arrays:
        return Splits(train, None, notes)
    test, test_notes = _split(
        arrays["test samples"], arrays["test labels"], values, names, f"{path} (test)"
    )
    return Splits(train, test, notes + test_notes)


def _by_role(arrays: Mapping[str, Array], path: Path) -> dict[str, Array]:
    known = {name for names in ROLES.values() for name in names}
    if unknown := sorted(arrays.keys() - known):
        remedy = f"name the arrays {', '.join(sorted(known))}"
        raise InvalidData(path, f"no meaning for the array {unknown[0]!r}", remedy)
    found = {role: [name for name in names if name in arrays] for role, names in ROLES.items()}
    for role, names in found.items():
        if len(names) > 1:
            problem = f"{' and '.join(names)} are both {role}"
            raise InvalidData(path, problem, "keep one of them")
    roles = {role: arrays[names[0]] for role, names in found.items() if names}
    for role, partner in (("samples", "labels"), ("labels", "samples")):
        _require(role, roles, path)
        if f"test {partner}" in roles:
            _require(f"test {role}", roles, path)
    return roles


def _require(role: str, roles: Mapping[str, Array], path: Path) -> None:
    if role not in roles:
        raise InvalidData(path, f"no {role}", f"name that array {' or '.join(ROLES[role])}")


def _distinct(arrays: Mapping[str, Array], path: Path) -> Array:
    """Return the label values in the order of their numbers, (classes,)."""
    labels = arrays["labels"]
    if "classes" not in arrays:
        return np.unique(_texts(labels, path) if labels.dtype.kind in TEXT else labels)
    classes = arrays["classes"]
    if classes.ndim != 1 or classes.dtype.kind not in TEXT or not len(classes):
        problem = f"classes are {classes.dtype} of shape {classes.shape}"
        raise InvalidData(path, problem, "give text of shape (classes,)")
    return _texts(classes, path) if labels.dtype.kind in TEXT else np.arange(len(classes))


def _texts(values: Array, path: Path) -> NDArray[np.str_]:
    if values.dtype.kind in TEXT and values.dtype.itemsize > MAX_TEXT_BYTES:
        problem = f"text of {values.dtype} is longer than the name of a class may be"
        raise InvalidData(path, problem, f"give names of at most {MAX_NAME} characters")
    remedy = "save text as np.asarray(values, dtype=str)"
    with reading(path, remedy):
        if values.dtype.kind == "S":
            return np.char.decode(values.astype(np.bytes_), "utf-8")
        return values.astype(np.str_)


def _split(
    samples: Array, labels: Array, values: Array, names: tuple[str, ...], origin: str
) -> tuple[Labelled, tuple[str, ...]]:
    numbers = _numbered(labels, values, origin)
    converted, notes = _converted(samples, origin)
    return Labelled(converted, numbers, names, origin), notes


def _numbered(labels: Array, values: Array, origin: str) -> Labels:
    """Return each label's place among `values`, (n,)."""
    if labels.ndim != 1 or labels.dtype.kind not in WHOLE + TEXT:
        problem = f"labels are {labels.dtype} of shape {labels.shape}"
        raise InvalidData(origin, problem, "give whole numbers or text of shape (n,)")
    texts = _texts(labels, Path(origin)) if labels.dtype.kind in TEXT else labels
    order = np.argsort(values)
    places = np.searchsorted(values, texts, sorter=order).clip(max=len(values) - 1)  # (n,)
    numbers: Labels = order[places].astype(np.int64)
    if (strange := values[numbers] != texts).any():
        label = texts[int(np.argmax(strange))]
        problem = f"label {str(label)!r} is not among the {len(values)} classes"
        raise InvalidData(origin, problem, "name it in `classes` or in the training labels")
    return numbers


def _converted(samples: Array, origin: str) -> tuple[Samples, tuple[str, ...]]:
    if samples.dtype.kind not in NUMBERS:
        raise InvalidData(origin, f"samples are {samples.dtype}", "give numbers")
    if samples.ndim == 2:
        check_size(samples.size * np.dtype(np.float32).itemsize, origin)
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
            return np.ascontiguousarray(samples, dtype=np.float32), ()
    if samples.ndim == 4 and samples.shape[3] == 1:
        samples = samples[..., 0]
    if samples.size == 0 or samples.dtype == np.uint8:
        return np.ascontiguousarray(samples, dtype=np.uint8), ()
    return _bytes(samples, origin)


def _bytes(images: Array, origin: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    is_real = images.dtype.kind not in WHOLE
    highest = 1 if is_real else 255
    least, most = images.min(), images.max()  # NaN if any value is
    if not (least >= 0 and most <= highest):
        problem = f"{images.dtype} images run from {least} to {most}"
        remedy = "give real numbers in [0, 1] or whole numbers in 0..255"
        raise InvalidData(origin, problem, remedy)
    action = "scaled by 255 and rounded to bytes" if is_real else "stored as bytes"
    values, pixels = images.reshape(-1), np.empty(images.size, dtype=np.uint8)
    for start in range(0, values.size, BLOCK):  # so that no copy in real numbers is ever whole
        block = values[start : start + BLOCK]
        scaled = np.rint(block.astype(np.float64) * 255) if is_real else block
        pixels[start : start + BLOCK] = scaled
    return pixels.reshape(images.shape), (f"{origin}: {images.dtype} images {action}.",)
