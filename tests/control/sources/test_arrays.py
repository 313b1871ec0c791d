from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from control.sources import arrays
from control.sources.errors import InvalidData
from control.sources.labelled import Splits
from tests.control.sources.files import unless_refused
from tests.fuzz.memory import peak_bytes

Array = NDArray[np.generic]
IMAGES = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([0, 1, 0, 1])
ROWS = np.arange(8, dtype=np.float64).reshape(4, 2)


def read(tmp_path: Path, **named: Array) -> Splits:
    np.savez(tmp_path / "own.npz", **named)  # type: ignore[arg-type]  # its stub has a flag too
    return arrays.read(tmp_path / "own.npz")


@pytest.mark.parametrize(("x", "y"), [("samples", "labels"), ("x", "y"), ("x_train", "y_train")])
def test_training_samples_are_read_by_each_name(tmp_path: Path, x: str, y: str) -> None:
    splits = read(tmp_path, **{x: IMAGES, y: LABELS})

    np.testing.assert_array_equal(splits.train.samples, IMAGES)
    assert splits.train.labels.tolist() == [0, 1, 0, 1]
    assert splits.train.classes == ("0", "1")
    assert (splits.test, splits.notes) == (None, ())


@pytest.mark.parametrize(("x", "y"), [("test_samples", "test_labels"), ("x_test", "y_test")])
def test_test_samples_are_read_by_each_name(tmp_path: Path, x: str, y: str) -> None:
    splits = read(tmp_path, x=IMAGES, y=LABELS, **{x: IMAGES[:2], y: LABELS[:2]})

    assert splits.test is not None
    np.testing.assert_array_equal(splits.test.samples, IMAGES[:2])


def test_numbers_without_names_become_sorted_classes(tmp_path: Path) -> None:
    train = read(tmp_path, x=IMAGES, y=np.array([30, -7, 4, 30])).train

    assert train.classes == ("-7", "4", "30")
    assert train.labels.tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_text_labels_become_sorted_classes(tmp_path: Path, dtype: str) -> None:
    train = read(tmp_path, x=IMAGES, y=np.array(["owl", "cat", "owl", "dog"], dtype=dtype)).train

    assert train.classes == ("cat", "dog", "owl")
    assert train.labels.tolist() == [2, 0, 2, 1]


def test_text_labels_follow_the_order_of_the_classes_given(tmp_path: Path) -> None:
    labels, classes = np.array(["owl", "cat", "owl", "cat"]), np.array(["owl", "cat"])

    train = read(tmp_path, x=IMAGES, y=labels, classes=classes).train

    assert train.classes == ("owl", "cat")
    assert train.labels.tolist() == [0, 1, 0, 1]


def test_numbers_are_indices_into_the_classes_given(tmp_path: Path) -> None:
    train = read(tmp_path, x=IMAGES, y=LABELS, classes=np.array(["owl", "cat"])).train

    assert train.classes == ("owl", "cat")
    assert train.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8"])
def test_real_images_are_scaled_to_bytes_and_a_note_says_so(tmp_path: Path, dtype: str) -> None:
    images = (IMAGES / 255).astype(dtype)

    splits = read(tmp_path, x=images, y=LABELS)

    assert splits.train.samples.dtype == np.uint8
    np.testing.assert_array_equal(splits.train.samples, IMAGES)
    assert splits.notes == (
        f"{tmp_path / 'own.npz'}: {images.dtype} images scaled by 255 and rounded to bytes.",
    )


def test_images_larger_than_a_block_are_scaled_alike_and_in_little_memory(tmp_path: Path) -> None:
    images = np.tile(IMAGES, (1, 500, 700))  # over two blocks of values
    np.savez(tmp_path / "own.npz", x=(images / 255).astype(np.float16), y=LABELS)
    splits: list[Splits] = []

    peak = peak_bytes(lambda: splits.append(arrays.read(tmp_path / "own.npz")))

    np.testing.assert_array_equal(splits[0].train.samples, images)
    assert peak < 8 * images.nbytes  # all of it in float64 would be that much alone


def test_whole_images_are_stored_as_bytes_and_a_note_says_so(tmp_path: Path) -> None:
    splits = read(tmp_path, x=IMAGES.astype(np.int64), y=LABELS)

    np.testing.assert_array_equal(splits.train.samples, IMAGES)
    assert splits.notes == (f"{tmp_path / 'own.npz'}: int64 images stored as bytes.",)


def test_single_channel_is_dropped(tmp_path: Path) -> None:
    assert read(tmp_path, x=IMAGES[..., None], y=LABELS).train.samples.shape == (4, 2, 3)


@pytest.mark.parametrize("dtype", ["f8", "i4", "u1"])
def test_rows_become_float32(tmp_path: Path, dtype: str) -> None:
    train = read(tmp_path, x=ROWS.astype(dtype), y=LABELS).train

    assert train.samples.dtype == np.float32
    np.testing.assert_array_equal(train.samples, ROWS)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"x": IMAGES}, "no labels; name that array labels or y or y_train"),
        ({"y": LABELS}, "no samples; name that array samples or x or x_train"),
        ({"x": IMAGES, "y": LABELS, "x_test": IMAGES}, "no test labels"),
        ({"x": IMAGES, "y": LABELS, "y_test": LABELS}, "no test samples"),
        ({"x": IMAGES, "samples": IMAGES, "y": LABELS}, "samples and x are both samples"),
        ({"x": IMAGES, "y": LABELS, "clases": LABELS}, "no meaning for the array 'clases'"),
        ({"x": IMAGES, "y": LABELS[:3]}, "3 labels for 4 samples"),
        ({"x": IMAGES, "y": LABELS + 0.5}, r"labels are float64 of shape \(4,\)"),
        ({"x": IMAGES, "y": LABELS[:, None]}, r"labels are int64 of shape \(4, 1\)"),
        ({"x": IMAGES, "y": LABELS + 1, "classes": np.array(["a", "b"])}, "label '2' is not among"),
        ({"x": IMAGES, "y": LABELS, "classes": LABELS}, "classes are int64"),
        ({"x": IMAGES, "y": LABELS, "classes": np.array(["a", "b", "c"])}, "'c' has no samples"),
        ({"x": IMAGES, "y": np.array([b"\xff"] * 4)}, "save text as"),
        ({"x": IMAGES * 2.0, "y": LABELS}, r"float64 images run from 0.0 to 46.0; give real"),
        ({"x": IMAGES - 1.0, "y": LABELS}, "float64 images run from -1.0"),
        ({"x": IMAGES * np.nan, "y": LABELS}, "float64 images run from nan to nan"),
        ({"x": IMAGES.astype(int) + 250, "y": LABELS}, "int64 images run from 250 to 273"),
        ({"x": ROWS + np.inf, "y": LABELS}, "sample 0 has NaN or infinity"),
        ({"x": ROWS * 1e300, "y": LABELS}, "has NaN or infinity"),
        ({"x": ROWS > 2, "y": LABELS}, "samples are bool; give numbers"),
        ({"x": ROWS[0], "y": LABELS}, r"samples have shape \(2,\)|run from"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "0 classes|no values"),
        ({"x": IMAGES, "y": LABELS, "classes": np.array([], str)}, r"classes are .* shape \(0,\)"),
        ({"x": IMAGES, "y": np.array(["a" * 101] * 4)}, "give names of at most 100 characters"),
        ({"x": IMAGES, "y": np.array([2**64 - 1] * 4), "classes": np.array(["a"])}, "label '1844"),
    ],
)
def test_unusable_arrays_are_refused_with_their_fault(
    tmp_path: Path, named: dict[str, Array], problem: str
) -> None:
    with pytest.raises(InvalidData, match=f"own.npz.*({problem})"):
        read(tmp_path, **named)


def test_test_label_that_training_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"\(test\): label '5' is not among the 2 classes"):
        read(tmp_path, x=IMAGES, y=LABELS, x_test=IMAGES, y_test=LABELS * 5)


ANY_ARRAY = arrays_of.arrays(
    dtype=st.one_of(
        arrays_of.integer_dtypes(),
        arrays_of.floating_dtypes(),
        arrays_of.unicode_string_dtypes(max_len=3),
        arrays_of.byte_string_dtypes(max_len=3),
        arrays_of.boolean_dtypes(),
    ),
    shape=arrays_of.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=300,
    deadline=None,
)
@given(samples=ANY_ARRAY, labels=ANY_ARRAY, classes=st.none() | ANY_ARRAY)
def test_arbitrary_arrays_raise_nothing_but_source_errors(
    tmp_path: Path, samples: Array, labels: Array, classes: Array | None
) -> None:
    named = {"x": samples, "y": labels} | ({} if classes is None else {"classes": classes})

    splits = unless_refused(lambda: read(tmp_path, **named))

    assert splits is None or len(splits.train.labels) == len(samples)
