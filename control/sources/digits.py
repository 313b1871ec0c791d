"""Handwritten digits that ship with scikit-learn: 1,797 images of 8 x 8. Needs no download."""

import numpy as np

from control.sources.labelled import Labelled, Splits

HIGHEST = 16  # the set's own scale: ink counted in blocks of 4 x 4 pixels
TEST_SHARE = 0.25


def read(seed: int = 0) -> Splits:
    """Return the digits, scaled to 0..255, with a quarter of every class kept for the test.

    Args:
        seed: Chooses the split; the same seed gives the same split.

    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)  # (1797, 64), (1797,)
    pixels = np.rint(images * (255 / HIGHEST)).astype(np.uint8).reshape(-1, 8, 8)
    marks = labels.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, marks, test_size=TEST_SHARE, random_state=seed, stratify=marks
    )
    classes = tuple(str(digit) for digit in range(10))
    return Splits(
        Labelled(train_x, train_y, classes, "digits"),
        Labelled(test_x, test_y, classes, "digits (test)"),
    )
