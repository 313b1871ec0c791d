"""What a window does to a watch: what each chart compares with, and from when on."""

from datetime import UTC, datetime

import pytest

from schemas.documents import ModelVersion
from schemas.model import Provenance
from schemas.monitoring import MonitorPolicy, Observed, Watch
from tests.workers.monitored import HALVES, LATENTS, SURE, UNSURE
from tests.workers.scene import KNOWN, SHAPE, rehearsal, scores
from workers.charting import charted

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
POLICY = MonitorPolicy(spec=rehearsal(), window=500, reference=2000)
BRIGHTER = (*(0,) * 4, *LATENTS)  # twice as large


def version(measured_on: str, accuracy: float) -> ModelVersion:
    return ModelVersion(
        id="m@1",
        model="m",
        number=1,
        run="j-1.1",
        architecture="dense3",
        shape=SHAPE,
        dtype="float32",
        classes=KNOWN,
        parts=(),
        scores=scores(accuracy, measured_on),
        provenance=Provenance(job="j-1", seed=0, code_version="1"),
        status="released",
    )


HELD_OUT, PROBED = version("validation", 0.97), version("field", 0.97)


def window(
    correct: int = 0, wrong: int = 0, latents: tuple[int, ...] = LATENTS, sure: bool = True
) -> Observed:
    return Observed(
        since=NOON,
        confidence=SURE if sure else UNSURE,
        predicted=HALVES,
        latents=latents,
        correct=correct,
        wrong=wrong,
    )


def after(*windows: Observed, watch: Watch | None = None, of: ModelVersion = HELD_OUT) -> Watch:
    watch = watch or Watch(version=1)
    for each in windows:
        watch = charted(watch, each, of, POLICY)
    return watch


def test_scores_without_a_probe_are_no_promise_for_the_field() -> None:
    watch = Watch(version=1)
    for _ in range(20):  # held out it was right in 97 of 100; here it is in 87, and stays so
        watch = after(window(435, 65), watch=watch)
        assert watch.forgetting == 0

    assert watch.figures.endswith("(level 0.00)")
    assert "forgetting: wrong 0.130, at first 0.130, of 500 answers" in watch.figures


def test_scores_of_a_probe_are_compared_with_from_the_first_window_on() -> None:
    watch = after(window(435, 65), of=PROBED)

    assert watch.forgetting == 1
    assert watch.figures.startswith("forgetting: wrong 0.130, released with 0.030, of 500 answers")


def test_a_fall_since_the_first_judged_answers_is_found_without_a_probe() -> None:
    stable = after(*[window(435, 65)] * 8)

    assert after(*[window(385, 115)] * 3, watch=stable).forgetting == 1


def test_judged_answers_are_gathered_until_they_are_enough() -> None:
    early = after(*[window(44, 6)] * 10)
    late = after(*[window(44, 6)] * 40, watch=early)

    assert early.figures.endswith("forgetting: 500 judged answers, too few to compare with")
    assert early.reference is not None
    assert (early.reference.answers, early.reference.judged) == (2000, 500)
    assert late.reference is not None
    assert (late.reference.answers, late.reference.judged) == (2000, 1550)
    assert late.figures.startswith("forgetting: wrong 0.120, at first 0.120, of 50 answers")


def test_a_version_that_nobody_judges_is_watched_for_drift() -> None:
    watch = after(*[window()] * 4, window(sure=False))

    assert (watch.forgetting, watch.doubt, watch.shift) == (0, 1, 1)
    assert "0 judged answers, too few to compare with" in watch.figures


def test_a_level_against_what_is_no_promise_is_forgotten() -> None:
    alarmed = Watch(version=1, forgetting=1.0)

    assert after(window(435, 65), watch=alarmed).level == 0


def test_latents_alone_are_a_drift() -> None:
    watch = after(*[window()] * 4, window(latents=BRIGHTER))

    assert (watch.doubt, watch.shift) == (0, 1)
    assert watch.figures.count("(level 1.00)") == 1
    assert "latents: index" in watch.figures


@pytest.mark.parametrize("windows", [0, 4, 9])
def test_devices_that_learn_to_count_latents_later_are_watched_from_then_on(windows: int) -> None:
    old = after(*[window(latents=())] * windows)
    first = after(*[window()] * 4, watch=old)
    now = after(window(), watch=first)

    assert first.shift == now.shift == 0
    assert "latents" not in first.figures
    assert "latents: index 0.000" in now.figures
    assert now.reference is not None
    assert (now.reference.answers, sum(now.reference.latents)) == (2000, 2000)
    assert after(window(latents=BRIGHTER), watch=now).shift == 1


def test_a_complete_reference_stays_as_it_is() -> None:
    watch = after(*[window(435, 65)] * 5)

    assert after(window(400, 100, BRIGHTER, sure=False), watch=watch).reference == watch.reference
