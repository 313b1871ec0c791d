"""Files in the formats that the sources read, made small."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from control.sources.errors import SourceError

Read = TypeVar("Read")
IDX_PARTS = (("train", 20), ("t10k", 10))
CIFAR_NAMES = ("airplane", "bird")


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, values.ndim])
    return header + np.array(values.shape, dtype=">u4").tobytes() + values.tobytes()


def idx_folder(folder: Path) -> Path:
    """Write an MNIST-like set: images of 4 x 3 whose value is their place, labels place % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in IDX_PARTS:
        places = np.arange(count, dtype=np.uint8)
        images = np.broadcast_to(places[:, None, None], (count, 4, 3))
        for kind, values in (("images-idx3", images), ("labels-idx1", places % 10)):
            packed = gzip.compress(idx_bytes(values), mtime=0)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(packed)
    return folder


def cifar_record(label: int, red: int, green: int, blue: int) -> bytes:
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def cifar_folder(folder: Path, batches: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR_NAMES) + "\n\n")
    for batch in range(1, batches + 1):
        records = cifar_record(0, batch, 2, 3) + cifar_record(1, batch, 5, 6)
        (folder / f"data_batch_{batch}.bin").write_bytes(records)
    (folder / "test_batch.bin").write_bytes(cifar_record(1, 7, 8, 9) + cifar_record(0, 1, 1, 1))
    return folder


def cifar_archive(folder: Path) -> bytes:
    """Pack a folder as the published archive is: with a folder, a read-me and a link in it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        tar.add(folder, arcname="cifar-10-batches-bin")
        readme = tarfile.TarInfo("cifar-10-batches-bin/readme.html")
        readme.size = 5
        tar.addfile(readme, io.BytesIO(b"hello"))
        link = tarfile.TarInfo("../data_batch_9.bin")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/hostname"
        tar.addfile(link)
    return target.getvalue()


def image(path: Path, value: int, *, mode: str = "L", size: tuple[int, int] = (4, 3)) -> Path:
    """Write an image of one colour; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour: int | tuple[int, ...] = value if mode in ("L", "P", "1", "I;16") else (value, 0, 9)
    Image.new(mode, size, colour).save(path)
    return path


def unless_refused(read: Callable[[], Read]) -> Read | None:
    """Return what is read, or None for a clear refusal: one line that has a remedy."""
    try:
        return read()
    except SourceError as error:
        text = str(error)
        if "\n" in text or not (error.problem and error.remedy):
            raise
        return None
