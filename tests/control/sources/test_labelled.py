import numpy as np
import pytest
from numpy.typing import NDArray

from control.sources import labelled
from control.sources.errors import InvalidData, UnknownSource
from control.sources.labelled import Labelled, Splits, check_size

IMAGES = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([0, 1, 2, 1], dtype=np.int64)
CLASSES = ("cat", "dog", "owl")


def whole(**changes: object) -> Labelled:
    parts = {"samples": IMAGES, "labels": LABELS, "classes": CLASSES, "origin": "set.npz"}
    return Labelled(**(parts | changes))  # type: ignore[arg-type]  # wrong types are the point


def test_only_keeps_the_classes_in_the_order_given_and_renumbers() -> None:
    chosen = whole().only(["owl", "dog"])

    assert chosen.classes == ("owl", "dog")
    assert chosen.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(chosen.samples, IMAGES[[1, 2, 3]])


def test_only_of_an_unknown_class_lists_the_known() -> None:
    with pytest.raises(UnknownSource, match="no class is named 'cow'; choose from: cat, dog, owl"):
        whole().only(["cow"])


@pytest.mark.parametrize(
    ("classes", "problem"), [(["cat", "cat"], "'cat' is named twice"), ([], "0 classes")]
)
def test_only_of_a_doubtful_choice_is_refused(classes: list[str], problem: str) -> None:
    with pytest.raises(InvalidData, match=problem):
        whole().only(classes)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((4, 2, 3, 3), dtype=np.uint8),
        np.zeros((4, 2, 3), dtype=np.uint8),
        np.zeros((4, 7), dtype=np.float32),
    ],
)
def test_images_and_rows_are_accepted(samples: NDArray[np.generic]) -> None:
    assert whole(samples=samples).samples is samples


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros(4, dtype=np.uint8), r"samples have shape \(4,\)"),
        (np.zeros((4, 3, 2, 2), dtype=np.uint8), r"samples have shape \(4, 3, 2, 2\)"),
        (np.zeros((4, 2, 2), dtype=np.float32), "are float32; give them as uint8"),
        (np.zeros((4, 2), dtype=np.float64), "are float64; give them as float32"),
        (np.zeros((0, 2), dtype=np.float32), r"no values in shape \(0, 2\)"),
        (np.zeros((4, 0), dtype=np.float32), r"no values in shape \(4, 0\)"),
        (np.array([[1], [2], [np.nan], [4]], dtype=np.float32), "sample 2 has NaN or infinity"),
        (np.array([[1], [np.inf], [3], [4]], dtype=np.float32), "sample 1 has NaN or infinity"),
    ],
)
def test_unsound_samples_are_refused_by_name(samples: NDArray[np.generic], problem: str) -> None:
    with pytest.raises(InvalidData, match=f"^set.npz: .*{problem}"):
        whole(samples=samples)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([0, 1, 2, 3], "labels run from 0 to 3 for 3 classes; give labels from 0 to 2"),
        ([-1, 0, 1, 2], "labels run from -1 to 2"),
        ([0, 1, 2], "3 labels for 4 samples"),
        ([[0, 1, 2, 1]], r"labels are int64 of shape \(1, 4\)"),
        ([0, 0, 2, 2], "class 'dog' has no samples"),
    ],
)
def test_unsound_labels_are_refused(labels: list[int], problem: str) -> None:
    with pytest.raises(InvalidData, match=problem):
        whole(labels=np.array(labels, dtype=np.int64))


def test_labels_of_another_type_are_refused() -> None:
    with pytest.raises(InvalidData, match="labels are int32"):
        whole(labels=LABELS.astype(np.int32))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_class_without_a_readable_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidData, match="is no name for a class"):
        whole(classes=("cat", "dog", name))


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(InvalidData, match="1001 classes; give 1 to 1000"):
        whole(classes=tuple(str(number) for number in range(1001)))


def test_too_large_is_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled, "MAX_BYTES", 23)

    with pytest.raises(InvalidData, match="its samples take 24 bytes, over the limit of 23"):
        whole()


def test_size_at_the_limit_is_accepted() -> None:
    check_size(labelled.MAX_BYTES, "set.npz")


def test_splits_of_other_classes_are_refused() -> None:
    with pytest.raises(InvalidData, match="its classes differ"):
        Splits(whole(), whole(classes=("dog", "cat", "owl")))


def test_splits_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidData, match=r"its samples have shape \(3, 2\), the training samples"):
        Splits(whole(), whole(samples=IMAGES.reshape(4, 3, 2)))
