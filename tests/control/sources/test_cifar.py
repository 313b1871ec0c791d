from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.sources import cifar
from control.sources.errors import InvalidData, UnknownSource
from tests.control.sources.files import cifar_archive, cifar_folder, cifar_record, unless_refused


def test_records_become_channel_last_images_in_the_order_of_the_batches(tmp_path: Path) -> None:
    splits = cifar.read(cifar_folder(tmp_path))

    assert splits.test is not None
    assert splits.train.samples.shape == (10, 32, 32, 3)
    assert splits.train.samples[:, 5, 7, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert splits.train.samples[1, 31, 0].tolist() == [1, 5, 6]
    assert splits.train.labels.tolist() == [0, 1] * 5
    assert splits.train.classes == ("airplane", "bird")
    assert splits.test.samples[0, 0, 0].tolist() == [7, 8, 9]


def test_rows_and_columns_are_not_exchanged(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    record = bytes([0]) + bytes([255]) * 32 + bytes(3072 - 32)  # the first red row
    (folder / "test_batch.bin").write_bytes(record + cifar_record(1, 0, 0, 0))

    test = cifar.read(folder).test

    assert test is not None
    assert test.samples[0, 0, :, 0].tolist() == [255] * 32
    assert test.samples[0, 1:].max() == 0


@pytest.mark.parametrize("n_bytes", [0, 1, 3072, 3074])
def test_file_cut_within_a_record_is_refused(tmp_path: Path, n_bytes: int) -> None:
    folder = cifar_folder(tmp_path)
    (folder / "data_batch_3.bin").write_bytes(bytes(n_bytes))

    with pytest.raises(InvalidData, match=r"data_batch_3\.bin: .* is not a whole number of 3,073"):
        cifar.read(folder)


def test_label_without_a_name_is_refused_with_its_record(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path)
    records = cifar_record(0, 0, 0, 0) + cifar_record(2, 0, 0, 0)
    (folder / "data_batch_2.bin").write_bytes(records)

    with pytest.raises(InvalidData, match=r"data_batch_2\.bin: record 1 has label 2"):
        cifar.read(folder)


@pytest.mark.parametrize("name", ["batches.meta.txt", "test_batch.bin"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (cifar_folder(tmp_path) / name).unlink()

    with pytest.raises(UnknownSource, match=f"{name}: there is no such file"):
        cifar.read(tmp_path)


def test_folder_without_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match=r"it has no data_batch_\*\.bin"):
        cifar.read(cifar_folder(tmp_path, batches=0))


def test_unpacking_takes_the_files_it_knows_and_follows_no_link(tmp_path: Path) -> None:
    archive, target = tmp_path / "cifar.tar.gz", tmp_path / "unpacked"
    archive.write_bytes(cifar_archive(cifar_folder(tmp_path / "source")))
    target.mkdir()

    cifar.unpack(archive, target)

    batches = [f"data_batch_{number}.bin" for number in range(1, 6)]
    expected = ["batches.meta.txt", *batches, "test_batch.bin"]
    assert sorted(path.name for path in target.iterdir()) == expected
    assert cifar.read(target).train.labels.tolist() == [0, 1] * 5


def test_cut_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "cifar.tar.gz"
    archive.write_bytes(cifar_archive(cifar_folder(tmp_path / "source"))[:-40])

    with pytest.raises(InvalidData, match=r"cifar\.tar\.gz: "):
        cifar.unpack(archive, tmp_path)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(
    names=st.binary(max_size=40),
    labels=st.lists(st.integers(0, 255), max_size=4),
    extra=st.binary(max_size=3),
)
def test_arbitrary_bytes_raise_nothing_but_source_errors(
    tmp_path: Path, names: bytes, labels: list[int], extra: bytes
) -> None:
    folder = cifar_folder(tmp_path, batches=1)
    (folder / "batches.meta.txt").write_bytes(names)
    records = b"".join(cifar_record(label, 0, 0, 0) for label in labels)
    (folder / "data_batch_1.bin").write_bytes(records + extra)

    splits = unless_refused(lambda: cifar.read(folder))

    assert splits is None or splits.train.labels.tolist() == labels
