"""CIFAR-10 in its official binary layout (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one label byte and 3,072 pixel bytes: 32 x 32 red, then green, then blue, row-major.
`data_batch_*.bin` are the training samples, `test_batch.bin` the test samples, `batches.meta.txt`
one class name a line. A batch may hold any number of records.
"""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from control.sources.errors import InvalidData, UnknownSource, reading, writing
from control.sources.labelled import Labelled, Splits, check_size

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE
RECORD_BYTES = 1 + PIXEL_BYTES
MAX_META_BYTES = 64 * 1024
NAMES_FILE = "batches.meta.txt"
TEST_FILE = "test_batch.bin"
TRAIN_FILES = "data_batch_*.bin"


def read(folder: Path) -> Splits:
    """Read the batches of a folder; images come out channel-last, (n, 32, 32, 3).

    Raises:
        SourceError: A file is missing, cut within a record, or has a label without a name.

    """
    classes = _read_classes(folder / NAMES_FILE)
    batches = sorted(folder.glob(TRAIN_FILES))
    if not batches:
        raise UnknownSource(folder, f"it has no {TRAIN_FILES}", "unpack the binary version there")
    train = _read_batches(batches, classes, str(folder / TRAIN_FILES))
    test = _read_batches([folder / TEST_FILE], classes, str(folder / TEST_FILE))
    return Splits(train, test)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the batches and the names of the published archive into a folder that exists.

    May run twice: each file appears whole or not at all.
    """
    with reading(archive), tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            content = tar.extractfile(member) if member.isreg() and _is_wanted(name) else None
            if content is not None:
                check_size(member.size, str(archive))
                _write(content, folder / name)


def _write(content: IO[bytes], path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    with writing(path.parent), part.open("wb") as target:
        shutil.copyfileobj(content, target)
    os.replace(part, path)


def _is_wanted(name: str) -> bool:
    return name in (NAMES_FILE, TEST_FILE) or PurePosixPath(name).match(TRAIN_FILES)


def _read_classes(path: Path) -> tuple[str, ...]:
    with reading(path), path.open("rb") as stream:
        text = stream.read(MAX_META_BYTES).decode()
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _read_batches(paths: list[Path], classes: tuple[str, ...], origin: str) -> Labelled:
    check_size(sum(_batch_bytes(path) for path in paths), origin)
    records = np.concatenate([_read_records(path, len(classes)) for path in paths])  # (n, 3073)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # (n, 32, 32, 3)
    labels = records[:, 0].astype(np.int64)
    return Labelled(np.ascontiguousarray(images), labels, classes, origin)


def _batch_bytes(path: Path) -> int:
    with reading(path):
        n_bytes = path.stat().st_size
    if n_bytes == 0 or n_bytes % RECORD_BYTES:
        problem = f"{n_bytes:,} bytes is not a whole number of {RECORD_BYTES:,}-byte records"
        raise InvalidData(path, problem, "get the file again")
    return n_bytes


def _read_records(path: Path, n_classes: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    with reading(path):
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    highest = int(records[:, 0].max())
    if highest >= n_classes:
        problem = f"record {int(records[:, 0].argmax())} has label {highest}"
        raise InvalidData(path, problem, f"{NAMES_FILE} names {n_classes} classes; give both alike")
    return records
