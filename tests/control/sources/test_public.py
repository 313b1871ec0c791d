import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from control.sources import public
from control.sources.content import content_sha256
from control.sources.download import Patience
from control.sources.errors import DownloadFailed, InvalidData, UnknownSource
from control.sources.labelled import Splits
from control.sources.published import CIFAR_10, MNIST, PUBLIC_SETS, Archive, PublicFile, PublicSet
from tests.control.sources.files import cifar_archive, cifar_folder, idx_folder
from tests.control.sources.host import Host, serving

PATIENT = Patience(attempts=2, backoff_s=0.001, timeout_s=5)
DATA_DIR = os.environ.get("RDG_DATA_DIR")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as host:
        yield host


def files_of(folder: Path, public_set: PublicSet) -> tuple[PublicFile, ...]:
    names = [file.name for file in public_set.files]
    return tuple(PublicFile(name, content_sha256(folder / name)) for name in names)


@pytest.fixture
def small_mnist(tmp_path: Path, host: Host) -> PublicSet:
    """A set in MNIST's layout, published on the loopback host."""
    folder = idx_folder(tmp_path / "origin")
    host.files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return replace(MNIST, files=files_of(folder, MNIST), hosts=(host.url,))


@pytest.fixture
def small_cifar(tmp_path: Path, host: Host) -> PublicSet:
    """A set in CIFAR-10's layout, published as an archive on the loopback host."""
    folder = cifar_folder(tmp_path / "origin")
    packed = cifar_archive(folder)
    host.files = {"/cifar-10-binary.tar.gz": packed}
    assert CIFAR_10.archive is not None
    archive = replace(CIFAR_10.archive, sha256=hashlib.sha256(packed).hexdigest())
    return replace(CIFAR_10, files=files_of(folder, CIFAR_10), hosts=(host.url,), archive=archive)


def test_set_is_downloaded_once_and_then_read_from_the_cache(
    tmp_path: Path, host: Host, small_mnist: PublicSet
) -> None:
    first = public.read_cached(small_mnist, tmp_path / "cache", None, PATIENT)
    second = public.read_cached(small_mnist, tmp_path / "cache", None, PATIENT)

    assert len(host.requests) == 4
    assert first.notes == ()
    np.testing.assert_array_equal(first.train.samples, second.train.samples)
    assert first.train.labels.tolist() == [*range(10), *range(10)]


def test_damaged_cache_repairs_itself(tmp_path: Path, host: Host, small_mnist: PublicSet) -> None:
    public.read_cached(small_mnist, tmp_path, None, PATIENT)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")

    public.read_cached(small_mnist, tmp_path, None, PATIENT)

    assert [path for path, _ in host.requests][4:] == ["/train-images-idx3-ubyte.gz"]


def test_download_of_another_content_is_refused(
    tmp_path: Path, host: Host, small_mnist: PublicSet
) -> None:
    host.files["/t10k-labels-idx1-ubyte.gz"] = host.files["/train-labels-idx1-ubyte.gz"]

    with pytest.raises(DownloadFailed, match=r"t10k-labels-idx1-ubyte\.gz: .*checksum differs"):
        public.read_cached(small_mnist, tmp_path, None, PATIENT)


def test_archive_is_unpacked_checked_and_not_kept(
    tmp_path: Path, host: Host, small_cifar: PublicSet
) -> None:
    splits = public.read_cached(small_cifar, tmp_path, None, PATIENT)
    public.read_cached(small_cifar, tmp_path, None, PATIENT)

    assert splits.train.labels.tolist() == [0, 1] * 5
    assert [path for path, _ in host.requests] == ["/cifar-10-binary.tar.gz"]
    assert not (tmp_path / "cifar-10-batches-bin" / "cifar-10-binary.tar.gz").exists()


def test_unpacking_that_was_interrupted_is_done_again_without_a_download(
    tmp_path: Path, host: Host, small_cifar: PublicSet
) -> None:
    public.read_cached(small_cifar, tmp_path, None, PATIENT)
    folder = tmp_path / "cifar-10-batches-bin"
    (folder / "cifar-10-binary.tar.gz").write_bytes(host.files["/cifar-10-binary.tar.gz"])
    (folder / "batches.meta.txt").unlink()

    splits = public.read_cached(small_cifar, tmp_path, None, PATIENT)

    assert splits.train.classes == ("airplane", "bird")
    assert len(host.requests) == 1


def test_own_folder_with_the_published_content_has_no_note(
    tmp_path: Path, host: Host, small_mnist: PublicSet
) -> None:
    idx_folder(tmp_path / "mnist")

    splits = public.read_own(small_mnist, tmp_path)

    assert (splits.notes, host.requests) == ((), [])


def test_own_folder_with_other_content_is_read_with_a_note(tmp_path: Path) -> None:
    cifar_folder(tmp_path / "cifar-10-batches-bin")

    splits = public.read_own(CIFAR_10, tmp_path)

    assert len(splits.train.samples) == 10
    assert len(splits.notes) == 1
    assert "6 of 6 files differ from the published ones (data_batch_1.bin, " in splits.notes[0]


def test_own_folder_with_a_damaged_file_is_refused(tmp_path: Path) -> None:
    idx_folder(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")

    with pytest.raises(InvalidData, match=r"t10k-labels-idx1-ubyte\.gz: it begins with"):
        public.read_own(MNIST, tmp_path)


def test_own_folder_without_the_set_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match=r"mnist: there is no such folder; put train-images"):
        public.read("mnist", data_dir=tmp_path, cache_dir=tmp_path)


def test_digits_need_neither_folder_nor_network(tmp_path: Path) -> None:
    own = public.read("digits", data_dir=tmp_path / "gone", cache_dir=tmp_path)
    cached = public.read("digits", data_dir=None, cache_dir=tmp_path / "gone")

    np.testing.assert_array_equal(own.train.samples, cached.train.samples)
    assert list(tmp_path.iterdir()) == []


def test_unknown_set_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match="choose from: digits, mnist, fashion-mnist, cifar-10"):
        public.read("svhn", data_dir=None, cache_dir=tmp_path)


@pytest.mark.parametrize("public_set", PUBLIC_SETS.values(), ids=PUBLIC_SETS.keys())
def test_every_published_file_has_a_whole_checksum(public_set: PublicSet) -> None:
    sums: list[PublicFile | Archive] = [*public_set.files]
    sums += [public_set.archive] if public_set.archive else []

    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in sums)
    assert len({entry.sha256 for entry in sums}) == len(sums)
    assert all(host.endswith("/") for host in public_set.hosts)
    assert bool(public_set.files) == bool(public_set.hosts)


@pytest.mark.skipif(DATA_DIR is None, reason="RDG_DATA_DIR does not name a folder of public sets")
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("mnist", (28, 28), (60_000, 10_000)),
        ("fashion-mnist", (28, 28), (60_000, 10_000)),
        ("cifar-10", (32, 32, 3), None),  # a subset in the official layout will do
    ],
)
def test_real_set_is_read(
    tmp_path: Path, name: str, shape: tuple[int, ...], counts: tuple[int, int] | None
) -> None:
    splits = public.read(name, data_dir=Path(DATA_DIR or ""), cache_dir=tmp_path)

    assert splits.test is not None
    assert splits.train.samples.shape[1:] == shape
    assert len(splits.train.classes) == 10
    assert counts in (None, (len(splits.train.samples), len(splits.test.samples)))
    assert centroid_accuracy(splits) > 0.25  # by chance 0.1: labels belong to their images


def centroid_accuracy(splits: Splits) -> float:
    """Return the share of test samples whose nearest class mean is their own class's."""
    assert splits.test is not None
    train, test = (
        split.samples.reshape(len(split.samples), -1).astype(np.float32)
        for split in (splits.train, splits.test)
    )
    means = np.stack([train[splits.train.labels == label].mean(axis=0) for label in range(10)])
    distances = (means**2).sum(axis=1) - 2 * test @ means.T  # (n, 10), up to a constant a row
    return float((distances.argmin(axis=1) == splits.test.labels).mean())
