"""The public data sets: where each is published, and the checksums that make it certain."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from control.sources import cifar, digits, idx
from control.sources.content import content_sha256
from control.sources.errors import SourceError, reading
from control.sources.labelled import Splits


@dataclass(frozen=True)
class PublicFile:
    """A file and the sha256 of its content: unpacked, because mirrors pack anew."""

    name: str
    sha256: str

    def is_genuine(self, path: Path) -> bool:
        """Return whether the file at `path` has the published content."""
        try:
            return content_sha256(path) == self.sha256
        except SourceError:  # it cannot be read to its end, so it is not the published one
            return False


@dataclass(frozen=True)
class Archive:
    """An archive that the files of a set travel in, and the sha256 of its bytes as they travel."""

    name: str
    sha256: str
    unpack: Callable[[Path, Path], None]  # archive, folder that exists

    def is_genuine(self, path: Path) -> bool:
        """Return whether the file at `path` is the published archive."""
        with reading(path), path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256


@dataclass(frozen=True)
class PublicSet:
    """A data set that is published.

    Attributes:
        folder: Its folder below the data folder or the cache.
        read: Turns that folder into samples.
        files: What the folder must hold; none for a set that ships with a library.
        hosts: Addresses that a name is appended to, best first.
        archive: What to fetch instead of the files one by one.

    """

    folder: str
    read: Callable[[Path], Splits]
    files: tuple[PublicFile, ...] = ()
    hosts: tuple[str, ...] = ()
    archive: Archive | None = None


DIGITS = PublicSet("digits", read=lambda folder: digits.read())

MNIST = PublicSet(
    "mnist",
    read=partial(idx.read, classes=tuple("0123456789")),
    files=(
        PublicFile(
            "train-images-idx3-ubyte.gz",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        PublicFile(
            "train-labels-idx1-ubyte.gz",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        PublicFile(
            "t10k-images-idx3-ubyte.gz",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        PublicFile(
            "t10k-labels-idx1-ubyte.gz",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    hosts=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = PublicSet(
    "fashion-mnist",
    read=partial(
        idx.read,
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    files=(
        PublicFile(
            "train-images-idx3-ubyte.gz",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        PublicFile(
            "train-labels-idx1-ubyte.gz",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        PublicFile(
            "t10k-images-idx3-ubyte.gz",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        PublicFile(
            "t10k-labels-idx1-ubyte.gz",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    hosts=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)

CIFAR_10 = PublicSet(
    "cifar-10-batches-bin",
    read=cifar.read,
    files=(
        PublicFile(
            "data_batch_1.bin",
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        ),
        PublicFile(
            "data_batch_2.bin",
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        ),
        PublicFile(
            "data_batch_3.bin",
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        ),
        PublicFile(
            "data_batch_4.bin",
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        ),
        PublicFile(
            "data_batch_5.bin",
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        ),
        PublicFile(
            "test_batch.bin",
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ),
    ),
    hosts=("https://www.cs.toronto.edu/~kriz/",),
    archive=Archive(
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        cifar.unpack,
    ),
)

PUBLIC_SETS: Mapping[str, PublicSet] = MappingProxyType(
    {"digits": DIGITS, "mnist": MNIST, "fashion-mnist": FASHION_MNIST, "cifar-10": CIFAR_10}
)
