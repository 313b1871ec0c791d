"""A device counts its answers, of any thread, and nothing of a sample is in what it counts."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_agent.errors import Invalid
from edge_agent.model import Answer
from edge_agent.observing import Observer

CLASSES = ("zero", "one", "two")


def answer(*said: tuple[str, float]) -> Answer:
    labels, confidence = zip(*said, strict=True)
    return Answer(labels, np.array(confidence, np.float32), version=1)


def test_answers_are_counted_by_confidence_and_class() -> None:
    observer = Observer(CLASSES)

    observer.saw(answer(("two", 0.0), ("two", 0.55), ("zero", 0.95), ("zero", 1.0)))
    observer.saw(answer(("two", 0.3)))

    counts = observer.counted()
    assert counts.confidence == (1, 0, 0, 1, 0, 1, 0, 0, 0, 2)
    assert counts.predicted == (2, 0, 3)
    assert counts.answers == 5


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
