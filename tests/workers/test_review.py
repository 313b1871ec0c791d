"""Who decides on a set, and that only the first decision counts."""

import pytest

from schemas.documents import RehearsalSet
from schemas.flow import Progress, RehearsalSetReady, ReviewDecided, TrainingRequested
from schemas.message import Message
from schemas.model import Likeness
from store.base import Store
from tests.workers.scene import add_job, add_set, is_there, job_now, of, only, rehearsal, sent
from workers.planning import first_slice
from workers.resources import Resources
from workers.review import stage

READY = RehearsalSetReady(
    job="j-1",
    counts={"ant": 10, "bee": 4},
    mean_confidence={"ant": 0.9, "bee": 0.55},
    balance=0.4,
)


def decision(approved: bool, reviewer: str = "ada", reason: str = "") -> ReviewDecided:
    return ReviewDecided(job="j-1", approved=approved, reviewer=reviewer, reason=reason)


async def awaited(store: Store, **review: object) -> None:
    """A job whose set waits for its review."""
    await add_job(store, rehearsal(review=review), state="reviewing")
    await add_set(store)


async def said(resources: Resources, message: Message) -> list[Message]:
    return await sent(stage(resources), message)


@pytest.mark.parametrize(
    ("thresholds", "reasons"),
    [
        ({"min_count": 4, "min_mean_confidence": 0.55, "min_balance": 0.4}, []),
        ({"min_count": 5}, ["bee: 4 samples, at least 5 are needed"]),
        ({"min_mean_confidence": 0.6}, ["bee: mean confidence 0.55 is under 0.6"]),
        (
            {"min_count": 11, "min_balance": 0.5},
            [
                "ant: 10 samples, at least 11 are needed",
                "bee: 4 samples, at least 11 are needed",
                "balance 0.40 is under 0.5",
            ],
        ),
    ],
)
async def test_the_policy_names_every_threshold_that_is_missed(
    store: Store, resources: Resources, thresholds: dict[str, float], reasons: list[str]
) -> None:
    await awaited(store, **thresholds)

    decided = only(ReviewDecided, await said(resources, READY))

    assert decided.approved == (not reasons)
    assert decided.reason == "; ".join(reasons)
    assert decided.reviewer == "policy"


@pytest.mark.parametrize(
    ("thresholds", "reasons"),
    [
        ({"min_fidelity": 0.8, "min_coverage": 0.6, "max_drift": 0.3}, []),
        ({"min_fidelity": 0.9}, ["ant: fidelity 0.80 is under 0.9"]),
        (
            {"min_coverage": 0.7, "max_drift": 0.25},
            ["ant: coverage 0.60 is under 0.7", "ant: drift 0.30 is over 0.25"],
        ),
        ({"max_drift": 0}, ["ant: drift 0.30 is over 0.0"]),
    ],
)
async def test_the_policy_judges_the_likeness_to_data_that_is_gone(
    store: Store, resources: Resources, thresholds: dict[str, float], reasons: list[str]
) -> None:
    await awaited(store, **thresholds)
    likeness = {"ant": Likeness(fidelity=0.8, coverage=0.6, drift=0.3)}
    ready = READY.model_copy(update={"counts": {"ant": 10}, "likeness": likeness})

    decided = only(ReviewDecided, await said(resources, ready))

    assert (decided.approved, decided.reason) == (not reasons, "; ".join(reasons))


@pytest.mark.parametrize("asked", [{"min_fidelity": 0.1}, {"min_coverage": 0.1}, {"max_drift": 9}])
async def test_likeness_that_is_asked_for_and_not_known_is_no_likeness(
    store: Store, resources: Resources, asked: dict[str, float]
) -> None:
    await awaited(store, **asked)

    decided = only(ReviewDecided, await said(resources, READY))

    assert not decided.approved
    assert "bee: nothing is known of its likeness to the real data" in decided.reason


async def test_a_manual_review_waits_and_says_what_to_type(
    store: Store, resources: Resources
) -> None:
    await awaited(store, mode="manual")

    news = await said(resources, READY)

    assert only(Progress, news).note == "waits for a person: rdg review approve j-1"
    assert (await job_now(store)).state == "reviewing"


async def test_an_approval_starts_training_and_is_on_record(
    store: Store, resources: Resources
) -> None:
    await awaited(store, mode="manual")

    started = only(TrainingRequested, await said(resources, decision(approved=True)))

    job = await job_now(store)
    assert job.state == "training"
    assert started.id == first_slice(job).id
    kept = await store.get(RehearsalSet, job.run)
    assert (kept.status, kept.reviewer, kept.reason) == ("approved", "ada", "")


async def test_an_approval_that_comes_again_asks_for_the_same_training(
    store: Store, resources: Resources
) -> None:
    await awaited(store)

    twice = [await said(resources, decision(approved=True)) for _ in range(2)]

    first, again = (only(TrainingRequested, news) for news in twice)
    assert first == again


async def test_a_rejection_deletes_the_data_and_ends_the_job(
    store: Store, resources: Resources
) -> None:
    await awaited(store)
    kept = await store.get(RehearsalSet, "j-1.1")

    await said(resources, decision(approved=False, reason="blurred"))

    assert not any([await is_there(store, part.digest) for part in kept.parts])
    assert (await store.get(RehearsalSet, "j-1.1")).status == "deleted"
    job = await job_now(store)
    assert (job.state, job.reason) == ("rejected", "review by ada: blurred")


@pytest.mark.parametrize("first", [True, False])
async def test_of_two_decisions_the_first_counts(
    store: Store, resources: Resources, first: bool
) -> None:
    await awaited(store)
    await said(resources, decision(first, "ada"))
    before = await job_now(store)

    news = await said(resources, decision(not first, "bob"))

    assert of(TrainingRequested, news) == []
    assert await job_now(store) == before
    assert (await store.get(RehearsalSet, "j-1.1")).reviewer == "ada"


@pytest.mark.parametrize("first", [True, False])
async def test_a_decision_that_was_cut_short_still_counts_before_another(
    store: Store, resources: Resources, first: bool
) -> None:
    await awaited(store)
    kept = await store.get(RehearsalSet, "j-1.1")
    status = "approved" if first else "deleted"
    await store.replace(kept.model_copy(update={"status": status, "reviewer": "ada"}))

    await said(resources, decision(not first, "bob"))
    assert (await job_now(store)).state == "reviewing"
    await said(resources, decision(first, "ada"))

    assert (await job_now(store)).state == ("training" if first else "rejected")


async def test_a_decision_before_there_is_a_set_changes_nothing(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(), state="generating")

    assert of(TrainingRequested, await said(resources, decision(approved=True))) == []

    assert (await job_now(store)).state == "generating"
