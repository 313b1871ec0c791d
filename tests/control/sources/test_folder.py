import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from control.sources import folder, labelled
from control.sources.errors import InvalidData, SourceError, UnknownSource
from tests.control.sources.files import image, unless_refused


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("owl", 3), ("cat", 1), ("dog", 2)):
        image(tmp_path / name / "a.png", value)
        image(tmp_path / name / "b.png", value + 10)

    splits = folder.read(tmp_path)

    assert splits.train.classes == ("cat", "dog", "owl")
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert splits.train.samples.shape == (6, 3, 4)
    assert splits.train.samples[:, 0, 0].tolist() == [1, 11, 2, 12, 3, 13]
    assert (splits.test, splits.notes) == (None, ())


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "jpg"])
def test_each_format_is_read(tmp_path: Path, suffix: str) -> None:
    image(tmp_path / "cat" / f"a.{suffix}", 77)

    assert folder.read(tmp_path).train.samples.tolist() == [[[77] * 4] * 3]


def test_one_coloured_image_makes_all_of_them_coloured(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 5)
    image(tmp_path / "dog" / "a.png", 200, mode="RGB")

    samples = folder.read(tmp_path).train.samples

    assert samples.shape == (2, 3, 4, 3)
    assert samples[:, 0, 0].tolist() == [[5, 5, 5], [200, 0, 9]]


def test_palette_with_transparency_is_read_as_colour(tmp_path: Path) -> None:
    path = image(tmp_path / "cat" / "a.png", 1, mode="P")
    with Image.open(path) as original:
        palette = original.copy()
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(path, transparency=bytes([255, 0]))

    assert folder.read(tmp_path).train.samples[0, 0, 0].tolist() == [10, 20, 30]


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    for split, value in (("train", 1), ("test", 2)):
        image(tmp_path / split / "cat" / "a.png", value)
        image(tmp_path / split / "dog" / "a.png", value + 10)

    splits = folder.read(tmp_path)

    assert splits.test is not None
    assert splits.train.classes == ("cat", "dog")
    assert splits.train.samples[:, 0, 0].tolist() == [1, 11]
    assert splits.test.samples[:, 0, 0].tolist() == [2, 12]


def test_classes_called_train_and_test_are_classes(tmp_path: Path) -> None:
    image(tmp_path / "train" / "a.png", 1)
    image(tmp_path / "test" / "a.png", 2)

    assert folder.read(tmp_path).train.classes == ("test", "train")


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".git").mkdir()

    assert len(folder.read(tmp_path).train.samples) == 1


def test_another_size_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        image(tmp_path / "cat" / f"{name}.png", 1)
    image(tmp_path / "cat" / "b.png", 1, size=(9, 5))

    with pytest.raises(InvalidData, match=r"b\.png: it is 5 x 9 pixels .* others are 3 x 4 pixels"):
        folder.read(tmp_path)


def test_a_size_resizes_and_a_note_says_what(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 50, size=(6, 2))
    image(tmp_path / "cat" / "b.png", 60, size=(9, 5))

    splits = folder.read(tmp_path, size=(2, 6))

    assert splits.train.samples.shape == (2, 2, 6)
    assert splits.train.samples[:, 1, 5].tolist() == [50, 60]
    assert splits.notes == (
        "1 of 2 images resized to 2 x 6 pixels (height x width) (bilinear), the first of them "
        f"{tmp_path / 'cat' / 'b.png'}.",
    )


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4, 5000)])
def test_absurd_size_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InvalidData, match="give a height and a width from 1 to 4096"):
        folder.read(tmp_path, size)


def test_file_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    (tmp_path / "cat" / "labels.txt").write_text("cat")

    with pytest.raises(InvalidData, match=r"labels\.txt: cannot identify image file"):
        folder.read(tmp_path)


def test_other_image_formats_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.tiff", 1)

    with pytest.raises(InvalidData, match=r"a\.tiff: cannot identify"):
        folder.read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "jpg"])
def test_truncated_image_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "cat" / f"cut.{suffix}"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(InvalidData, match=rf"cut\.{suffix}: "):
        folder.read(tmp_path)


def test_sixteen_bit_image_is_refused_rather_than_clipped(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "deep.png", 40000, mode="I;16")

    with pytest.raises(InvalidData, match=r"deep\.png: its mode I;16 is not 8 bits"):
        folder.read(tmp_path)


def test_animation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    frames = [Image.new("L", (4, 3), value) for value in (1, 200)]
    frames[0].save(tmp_path / "cat" / "a.gif", save_all=True, append_images=frames[1:])

    with pytest.raises(InvalidData, match=r"a\.gif: it is an animation"):
        folder.read(tmp_path)


@pytest.mark.parametrize("side", [12, 18, 40])  # over our limit; Pillow's; what it does not open
def test_image_with_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    image(tmp_path / "cat" / "bomb.png", 1, size=(side, side))
    monkeypatch.setattr(folder, "MAX_PIXELS", 143)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)

    with pytest.raises(InvalidData, match=r"bomb\.png: it has over 143 pixels"):
        folder.read(tmp_path)


def test_too_many_images_are_refused_before_allocating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    image(tmp_path / "cat" / "b.png", 1)
    monkeypatch.setattr(labelled, "MAX_BYTES", 23)

    with pytest.raises(InvalidData, match="its samples take 24 bytes, over the limit of 23"):
        folder.read(tmp_path)


def test_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match="it holds no class folders"):
        folder.read(tmp_path)


def test_empty_class_folder_is_refused_by_name(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    (tmp_path / "dog").mkdir()

    with pytest.raises(InvalidData, match="class 'dog' has no samples"):
        folder.read(tmp_path)


def test_folders_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()

    with pytest.raises(UnknownSource, match="its class folders are empty"):
        folder.read(tmp_path)


def test_image_beside_the_class_folders_is_refused_by_name(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    image(tmp_path / "stray.png", 1)

    with pytest.raises(InvalidData, match=r"stray\.png: it lies beside the class folders"):
        folder.read(tmp_path)


def test_folder_within_a_class_folder_is_refused_by_name(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "kitten" / "a.png", 1)

    with pytest.raises(SourceError, match="kitten: "):
        folder.read(tmp_path)


def encoded(kind: str) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((16, 16), 80).convert("RGB").save(target, kind)
    return target.getvalue()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None
)
@given(
    content=st.sampled_from([encoded(kind) for kind in folder.FORMATS]),
    place=st.integers(0, 400),
    value=st.binary(min_size=1, max_size=4),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on odd metadata
def test_damaged_images_raise_nothing_but_source_errors(
    tmp_path: Path, content: bytes, place: int, value: bytes
) -> None:
    place %= len(content)
    (tmp_path / "cat").mkdir(exist_ok=True)
    damaged = content[:place] + value + content[place + len(value) :]
    (tmp_path / "cat" / "a").write_bytes(damaged)

    splits = unless_refused(lambda: folder.read(tmp_path))

    assert splits is None or len(splits.train.samples) == 1
