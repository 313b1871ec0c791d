"""Images change a little and at random, but the same way for the same random state."""

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.augmentation import Augmentation, augment, suited

SHAPES = [(28, 28), (28, 28, 3), (17, 40, 1), (1, 1)]
CHANGES = [kind for kind in get_args(Augmentation) if kind != "none"]


def random_images(*shape: int, count: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, *shape), dtype=np.float32)


def one_pixel(side: int, count: int) -> NDArray[np.float32]:
    """Return images that are dark but for the pixel in the middle."""
    images = np.zeros((count, side, side), np.float32)
    images[:, side // 2, side // 2] = 1
    return images


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_changed_images_keep_shape_type_and_range(
    kind: Augmentation, shape: tuple[int, ...]
) -> None:
    images = random_images(*shape)
    before = images.copy()

    changed = augment(images, kind, np.random.default_rng(0))

    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert images.min() <= changed.min() <= changed.max() <= images.max()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("kind", CHANGES)
def test_the_random_state_alone_decides(kind: Augmentation) -> None:
    images = random_images(28, 28)
    first, again, other = (augment(images, kind, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", CHANGES)
def test_images_of_a_batch_change_apart(kind: Augmentation) -> None:
    images = np.repeat(random_images(28, 28, count=1), 30, axis=0)
    assert len(np.unique(augment(images, kind, np.random.default_rng(0)), axis=0)) > 1


@pytest.mark.parametrize(("side", "reach"), [(8, 0), (28, 1), (32, 2), (96, 5)])
def test_a_shift_reaches_every_way_and_grows_with_the_side(side: int, reach: int) -> None:
    moved = augment(one_pixel(side, 3000), "shift", np.random.default_rng(0))

    _, rows, columns = np.nonzero(moved)
    assert len(rows) == 3000
    found = set(zip((rows - side // 2).tolist(), (columns - side // 2).tolist(), strict=True))
    ways = range(-reach, reach + 1)
    assert found == {(row, column) for row in ways for column in ways}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_comes_in_from_outside_repeats_the_edge(kind: Augmentation) -> None:
    bright = np.full((20, 28, 28), 0.75, np.float32)
    np.testing.assert_array_equal(augment(bright, kind, np.random.default_rng(0)), bright)


def test_half_are_mirrored_and_colours_stay_together() -> None:
    images = np.repeat(random_images(4, 4, 3, count=1), 400, axis=0)  # too small to be shifted
    flipped = augment(images, "shift+flip", np.random.default_rng(0))

    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250


def test_affine_turns_about_the_centre_and_interpolates() -> None:
    ramp = np.broadcast_to(np.arange(29, dtype=np.float32), (200, 29, 29)).copy()

    turned = augment(ramp, "affine", np.random.default_rng(0))[:, 10:19, 10:19]

    across = turned[:, :, 1:] - turned[:, :, :-1]  # cosine of the angle over the zoom
    assert np.ptp(across.reshape(200, -1), axis=1).max() < 1e-4  # a plane stays a plane
    assert 0.85 < across.min() < across.max() <= 1.1 + 1e-4
    down = turned[:, 1:] - turned[:, :-1]
    assert -0.2 < down.min() < -0.1 < 0.1 < down.max() < 0.2
    assert np.abs(turned[:, 4, 4] - 14).max() <= 1 + 1e-4  # moved by a pixel at most


def test_none_leaves_tables_and_images_as_they_are() -> None:
    for samples in (random_images(5), random_images(9, 9)):
        assert augment(samples, "none", np.random.default_rng(0)) is samples


def test_no_images_are_no_trouble() -> None:
    assert (
        augment(random_images(28, 28, count=0), "affine+flip", np.random.default_rng(0)).size == 0
    )


def test_auto_shifts_images_and_leaves_tables_alone() -> None:
    assert suited("auto", (28, 28)) == "shift"
    assert suited("auto", (32, 32, 3)) == "shift"
    assert suited("auto", (20,)) == "none"
    assert suited("affine", (28, 28)) == "affine"


@pytest.mark.parametrize("kind", CHANGES)
def test_tabular_samples_are_never_changed(kind: Augmentation) -> None:
    with pytest.raises(ValueError, match=r"augmentation: '.*' is for images, samples of \(20,\)"):
        suited(kind, (20,))
