"""What a device counts of one version's answers: histograms, never samples."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock

import numpy as np

from edge_agent.errors import Invalid
from edge_agent.model import Answer
from schemas.monitoring import BINS, LATENT_BINS, LATENT_EDGES, Observed


class Observer:
    """Counts from now on, of any thread. `classes` are those of the version, in order."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._since = datetime.now(UTC)
        self._lock = Lock()
        self._confidence = np.zeros(BINS, np.int64)
        self._latents = np.zeros(LATENT_BINS, np.int64)
        self._predicted: Counter[str] = Counter()
        self._judged: Counter[bool] = Counter()

    def saw(self, answer: Answer) -> None:
        """Count an answer's confidences, classes and latents."""
        bins = np.clip((answer.confidence * BINS).astype(np.int64), 0, BINS - 1)  # (n,)
        confidence, predicted = np.bincount(bins, minlength=BINS), Counter(answer.labels)
        bins = np.searchsorted(
            LATENT_EDGES, answer.latents, side="right"
        )  # (n,), no number is last
        latents = np.bincount(bins, minlength=LATENT_BINS)
        with self._lock:
            self._confidence += confidence
            self._predicted += predicted
            self._latents += latents

    def judged(self, answer: Answer, labels: Sequence[str]) -> None:
        """Count how many of an answer's samples are of the class that it said.

        Raises:
            Invalid: There are more labels than samples, or fewer.

        """
        if len(labels) != len(answer.labels):
            raise Invalid(f"{len(labels)} labels for {len(answer.labels)} answers: give one each")
        judged = Counter(said == true for said, true in zip(answer.labels, labels, strict=True))
        with self._lock:
            self._judged += judged

    def counted(self) -> Observed:
        """Return all counts so far."""
        with self._lock:
            return Observed(
                since=self._since,
                confidence=tuple(self._confidence.tolist()),
                predicted=tuple(self._predicted[name] for name in self._classes),
                latents=tuple(self._latents.tolist()),
                correct=self._judged[True],
                wrong=self._judged[False],
            )
