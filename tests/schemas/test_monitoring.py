"""What devices count adds up and can be taken apart again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from pydantic import ValidationError

from schemas.flow import DeviceReported
from schemas.limits import MAX_ENTRIES
from schemas.monitoring import LATENT_BINS, MAX_COUNT, Observed
from tests.schemas.messages import any_of

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def seen(
    *confidence: int,
    predicted: tuple[int, ...] = (),
    latents: tuple[int, ...] = (),
    correct: int = 0,
) -> Observed:
    return Observed(
        since=NOON, confidence=confidence, predicted=predicted, latents=latents, correct=correct
    )


@given(any_of(Observed), any_of(Observed))
def test_a_sum_is_within_the_limits_and_does_not_depend_on_the_order(
    one: Observed, other: Observed
) -> None:
    total = one.plus(other)

    assert total == other.plus(one)
    assert Observed.model_validate(total.model_dump()) == total


def test_places_that_are_not_there_are_nothing() -> None:
    total = seen(1, predicted=(1, 2)).plus(seen(1, 1, 1, predicted=(5,), latents=(0, 3)))

    assert (total.confidence, total.predicted, total.answers) == ((2, 1, 1), (6, 2), 4)
    assert total.latents == (0, 3)


def test_a_sum_began_with_the_first() -> None:
    later = seen().model_copy(update={"since": NOON + timedelta(hours=1)})

    assert later.plus(seen()).since == NOON


def test_a_count_stays_at_the_largest_that_there_can_be() -> None:
    assert seen(MAX_COUNT, correct=MAX_COUNT).plus(seen(1, correct=1)).correct == MAX_COUNT


def test_what_was_counted_since_is_the_difference() -> None:
    earlier = seen(1, 2, predicted=(3,), latents=(1,), correct=1)
    more = seen(0, 5, predicted=(1, 4), latents=(2, 3), correct=3)

    since = earlier.plus(more).minus(earlier)

    assert since is not None
    assert (since.confidence, since.predicted, since.correct) == ((0, 5), (1, 4), 3)
    assert since.latents == (2, 3)


def test_counts_that_fell_have_no_difference() -> None:
    assert seen(1, 5).minus(seen(2)) is None
    assert seen(5).minus(seen(0, 1)) is None
    assert seen(5, correct=1).minus(seen(correct=2)) is None
    assert seen(5, latents=(1, 1)).minus(seen(4, latents=(0, 2))) is None


def test_a_report_without_counts_can_be_read() -> None:
    fields = {"device": "pump-1", "model": "m", "version": 1, "state": "running", "at": NOON}

    assert DeviceReported.model_validate(fields).observed is None


def test_counts_of_a_device_that_does_not_know_latents_can_be_read() -> None:
    old = {"since": NOON, "confidence": [5], "predicted": [3, 2], "correct": 1, "wrong": 0}

    assert Observed.model_validate(old).latents == ()


def test_more_bins_of_latents_than_there_are_can_not_be() -> None:
    assert len(seen(latents=(1,) * LATENT_BINS).latents) == LATENT_BINS
    with pytest.raises(ValidationError, match=f"at most {LATENT_BINS}"):
        seen(latents=(1,) * (LATENT_BINS + 1))


def test_the_largest_counts_of_all_classes_add_up_within_64_bits() -> None:
    assert MAX_ENTRIES * MAX_COUNT < 2**63
    with pytest.raises(ValidationError, match=str(MAX_COUNT)):
        seen(MAX_COUNT + 1)
    with pytest.raises(ValidationError, match=str(MAX_COUNT)):
        seen(predicted=(0, MAX_COUNT + 1))
