"""A device counts its answers, of any thread, and nothing of a sample is in what it counts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_agent.errors import Invalid
from edge_agent.model import Answer
from edge_agent.observing import Observer
from schemas.monitoring import LATENT_BINS, LATENT_EDGES

CLASSES = ("zero", "one", "two")


def answer(*said: tuple[str, float], latents: Sequence[float] = ()) -> Answer:
    labels, confidence = zip(*said, strict=True)
    sizes = np.array(latents or [1.0] * len(labels), np.float32)
    return Answer(labels, np.array(confidence, np.float32), sizes, version=1)


def test_answers_are_counted_by_confidence_and_class() -> None:
    observer = Observer(CLASSES)

    observer.saw(answer(("two", 0.0), ("two", 0.55), ("zero", 0.95), ("zero", 1.0)))
    observer.saw(answer(("two", 0.3)))

    counts = observer.counted()
    assert counts.confidence == (1, 0, 0, 1, 0, 1, 0, 0, 0, 2)
    assert counts.predicted == (2, 0, 3)
    assert counts.answers == 5


@pytest.mark.parametrize(
    ("latents", "place"),
    [
        (0.0, 0),
        (2.0**-12.1, 0),
        (2.0**-12, 1),
        (1.0, 49),
        (1.18, 49),
        (1.2, 50),
        (2.0, 53),
        (2.0**12, LATENT_BINS - 1),
        (1e30, LATENT_BINS - 1),
        (np.inf, LATENT_BINS - 1),
        (np.nan, LATENT_BINS - 1),
    ],
)
def test_latents_are_counted_in_quarter_octaves_whose_ends_are_open(
    latents: float, place: int
) -> None:
    observer = Observer(CLASSES)

    observer.saw(answer(("two", 0.5), ("two", 0.5), latents=(latents, latents)))

    counts = observer.counted().latents
    assert (len(counts), counts[place], sum(counts)) == (len(LATENT_EDGES) + 1, 2, 2)


def test_right_and_wrong_answers_are_counted() -> None:
    observer = Observer(CLASSES)

    observer.judged(answer(("two", 0.5), ("zero", 0.5), ("one", 0.5)), ["two", "one", "unheard"])

    assert (observer.counted().correct, observer.counted().wrong) == (1, 2)


def test_labels_that_do_not_fit_the_answers_are_refused() -> None:
    with pytest.raises(Invalid, match="2 labels for 1 answers"):
        Observer(CLASSES).judged(answer(("two", 0.5)), ["two", "two"])


def test_no_count_is_lost_between_threads() -> None:
    observer = Observer(CLASSES)
    one = answer(("one", 0.95))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(2000):
            pool.submit(observer.saw, one)

    assert (observer.counted().answers, observer.counted().predicted) == (2000, (0, 2000, 0))
