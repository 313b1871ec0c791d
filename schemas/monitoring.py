"""When to rehearse: what devices count, what a model's monitor goes by, and how far it is.

Counts add up over devices, and tell nothing of any one sample.
"""

from itertools import zip_longest
from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from schemas.job import Asked, RehearsalSpec
from schemas.limits import MAX_ENTRIES, AtMost, Count, Ordinal
from schemas.model import Frozen

BINS = 10
LATENT_EDGES = tuple(2.0 ** (quarter / 4) for quarter in range(-48, 49))
"""Quarter octaves from 2^-12 to 2^12. Bin i is of what i of them do not exceed; the first and the last are open."""

LATENT_BINS = len(LATENT_EDGES) + 1
MAX_COUNT = 2**49
"""Of one class or bin: a histogram of MAX_ENTRIES of them still adds up within 64 bits."""

Tally = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Level = Annotated[float, Field(ge=0, le=1)]


class Observed(Frozen):
    """Counts of the answers that one version gave; places that are not there are 0.

    Attributes:
        since: When the counting began; of a sum, the earliest. A device that begins anew counts from 0 under another.
        confidence: Answers by confidence, in ten bins: [0, 0.1), [0.1, 0.2) … [0.9, 1].
        predicted: Answers by class, in the order of the version's classes.
        latents: Answers by the root mean square of what entered the head, in 98 bins: below 2^-12, then quarter
            octaves, [2^-12, 2^-11.75) …, and from 2^12 on.
        correct: Answers that were found right by somebody who knew.
        wrong: Answers that were found wrong.

    """

    since: AwareDatetime
    confidence: Annotated[tuple[Tally, ...], AtMost(BINS)] = ()
    predicted: Annotated[tuple[Tally, ...], AtMost(MAX_ENTRIES)] = ()
    latents: Annotated[tuple[Tally, ...], AtMost(LATENT_BINS)] = ()
    correct: Tally = 0
    wrong: Tally = 0

    @property
    def answers(self) -> int:
        """How many answers were counted."""
        return sum(self.confidence)

    @property
    def judged(self) -> int:
        """How many of them were found right or wrong."""
        return self.correct + self.wrong

    def plus(self, other: Self) -> Self:
        """Return the sum. A count stays at the largest that there can be."""
        return self.model_copy(
            update={
                "since": min(self.since, other.since),
                "confidence": _added(self.confidence, other.confidence),
                "predicted": _added(self.predicted, other.predicted),
                "latents": _added(self.latents, other.latents),
                "correct": min(self.correct + other.correct, MAX_COUNT),
                "wrong": min(self.wrong + other.wrong, MAX_COUNT),
            }
        )

    def minus(self, earlier: Self) -> Self | None:
        """Return what was counted since `earlier`; None if a count is less than it was."""
        confidence = _subtracted(self.confidence, earlier.confidence)
        predicted = _subtracted(self.predicted, earlier.predicted)
        latents = _subtracted(self.latents, earlier.latents)
        correct, wrong = self.correct - earlier.correct, self.wrong - earlier.wrong
        if min(*confidence, *predicted, *latents, correct, wrong) < 0:
            return None
        counts = {"confidence": confidence, "predicted": predicted, "latents": latents}
        return self.model_copy(update={**counts, "correct": correct, "wrong": wrong})


class MonitorPolicy(Asked):
    """When a model's monitor asks for a rehearsal, and for which. learning/monitoring.py has the charts."""

    spec: RehearsalSpec
    window: int = Field(
        500, ge=50, le=10**9, description="Least answers, of all devices, that are judged together."
    )
    reference: int = Field(
        2000,
        ge=100,
        le=10**9,
        description="First answers of a version, which later ones are compared with.",
    )
    max_fall: float = Field(
        0.05, ge=0.01, le=0.5, description="Fall of the accuracy since the release that matters."
    )
    max_doubt: float = Field(
        0.1, ge=0.01, le=0.5, description="Rise of the share of answers under 0.5 that matters."
    )
    max_shift: float = Field(
        0.25, ge=0.01, le=10, description="Population stability index that matters."
    )
    windows: int = Field(
        1000, ge=10, le=10**9, description="Windows for one false alarm, at the most."
    )
    rearm_at: float = Field(
        0.5, ge=0, lt=1, description="Share of an alarm's level that all charts must be back at."
    )
    cooldown_s: float = Field(
        86_400,
        ge=0,
        le=366 * 86_400,
        description="Least seconds between two alarms of the model, whatever its version.",
    )


class Watch(Frozen):
    """How far the monitor of a model is with one version.

    Attributes:
        version: The released one.
        alarms: Of this model, whatever its version: none has the number of another.
        counted: What all devices had counted when the monitor looked last.
        reference: What the version looked like at first; each of its counts until there are enough of them.
        forgetting: Level of that chart; so `doubt`, and `shift`, the highest of the others. 1 is an alarm.
        armed: Whether an alarm would ask for a job, once the cooldown is over.
        fired: When the last alarm of the model did.
        asking: Why, as long as its job may not have been asked for.
        figures: The charts of the newest window, for people.

    """

    version: Ordinal
    alarms: Count = 0
    counted: Observed | None = None
    reference: Observed | None = None
    forgetting: Level = 0.0
    doubt: Level = 0.0
    shift: Level = 0.0
    armed: bool = True
    fired: AwareDatetime | None = None
    asking: str = Field("", max_length=2048)
    figures: str = Field("", max_length=1024)

    @property
    def level(self) -> float:
        """The highest of its levels."""
        return max(self.forgetting, self.doubt, self.shift)


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(a + b, MAX_COUNT) for a, b in zip_longest(one, other, fillvalue=0))


def _subtracted(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip_longest(one, other, fillvalue=0))
