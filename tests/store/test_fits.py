"""Which fits stand for a class: one of each data that it was fitted on, and of the same data the newest."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from schemas.documents import Fitted, Job, JobState
from schemas.job import RehearsalSpec
from store import base
from store.base import Store
from store.errors import Damaged
from store.fits import fits_by_class, most_fits
from tests.control.world import version
from tests.store.engines import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY, NIGHT, DUSK = ("a" * 64,), ("b" * 64,), ("a" * 64, "b" * 64)
SPEC = RehearsalSpec(model="m", new_data="new", generator="gmm")
NEWEST = SPEC.model_copy(update={"fits": "newest"})


async def fit(store: Store, key: str, hours: float = 0, **changes: object) -> Fitted:
    """A fit that was made so many hours after noon."""
    fields = {
        "id": key,
        "created": NOON + timedelta(hours=hours),
        "model": "m",
        "job": "j",
        "generator": "gmm",
        "data": "camera",
        "shape": (8, 8),
        "dtype": "uint8",
        "classes": ("3",),
        "options": {},
        "seed": 0,
        "digest": "0" * 64,
        "size_bytes": 1,
    }
    made = Fitted.model_validate(fields | changes)
    await store.insert(made)
    return made


async def fit_of(store: Store, state: JobState, attempt: int = 1) -> Job:
    """A job in that state, and the fit of each of its attempts, on data of its own."""
    job = Job(id=f"j-{state}", token="t", model="m", spec=SPEC, state=state, attempt=attempt)
    await store.insert(job)
    for number in range(1, attempt + 1):
        await fit(store, f"gmm-{job.id}-{number}", number, job=job.id, data=f"{state}-{number}")
    return job


async def chosen(
    store: Store,
    spec: RehearsalSpec = SPEC,
    own: Fitted | None = None,
    wanted: tuple[str, ...] = ("3", "7"),
) -> dict[str, list[str]]:
    found = await fits_by_class(store, spec, wanted, own)
    return {name: [each.id for each in fits] for name, fits in found.items()}


async def test_a_class_has_the_newest_fit_of_each_data_the_oldest_first(store: Store) -> None:
    await fit(store, "night", 2, data_digests=NIGHT)
    await fit(store, "day", 1, data_digests=DAY)
    await fit(store, "day-again", 3, data_digests=DAY, classes=("3", "7"), data="renamed")
    await fit(store, "dusk", 4, data_digests=DUSK)

    assert await chosen(store) == {"3": ["night", "day-again", "dusk"], "7": ["day-again"]}
    assert await chosen(store, NEWEST) == {"3": ["dusk"], "7": ["day-again"]}


async def test_fits_by_an_old_release_are_told_apart_by_the_name_of_their_data(
    store: Store,
) -> None:
    await fit(store, "day", 1, data="day")
    await fit(store, "night", 2, data="night")
    await fit(store, "day-again", 3, data="day")

    assert await chosen(store) == {"3": ["night", "day-again"]}


async def test_fits_of_other_generators_and_models_do_not_count(store: Store) -> None:
    await fit(store, "day", data_digests=DAY)
    await fit(store, "searched", generator="ga", data_digests=NIGHT)
    await fit(store, "elsewhere", model="other", data_digests=NIGHT)

    assert await chosen(store) == {"3": ["day"]}


async def test_the_own_fit_is_the_newest_by_any_clock_and_counts_once(store: Store) -> None:
    await fit(store, "night", 2, data_digests=NIGHT)
    await fit(store, "day", 3, data_digests=DAY)
    own = await fit(store, "own", 1, data_digests=DAY)

    assert await chosen(store, SPEC, own) == {"3": ["night", "own"]}
    assert await chosen(store, NEWEST, own) == {"3": ["own"]}


@pytest.mark.parametrize(("count", "first"), [(1, 5), (99, 5), (100, 4), (200, 2), (10_000, 0)])
async def test_every_fit_gives_samples_enough_to_be_judged_by_and_the_newest_come_first(
    store: Store, count: int, first: int
) -> None:
    for number in range(6):
        await fit(store, f"day-{number}", number, data=str(number))

    found = await chosen(store, SPEC.model_copy(update={"count": count}))

    assert found == {"3": [f"day-{number}" for number in range(first, 6)]}


async def test_a_class_that_is_as_it_was_is_the_same_data_whatever_is_beside_it(
    store: Store,
) -> None:
    threes, sevens = {"3": "a" * 64}, {"7": "b" * 64}
    await fit(store, "day", 1, data_digests=DAY, class_digests=threes)
    both = {"classes": ("3", "7"), "class_digests": threes | sevens}
    await fit(store, "day-and-sevens", 2, data_digests=DUSK, **both)

    assert await chosen(store) == {"3": ["day-and-sevens"], "7": ["day-and-sevens"]}


@pytest.mark.parametrize(
    "state", ["fitting", "reviewing", "training", "rejected", "failed", "cancelled"]
)
async def test_what_a_job_fitted_that_is_not_completed_counts_for_that_job_alone(
    store: Store, state: JobState
) -> None:
    await fit(store, "day", data="day")
    await fit_of(store, state)
    own = await store.get(Fitted, f"gmm-j-{state}-1")

    assert await chosen(store) == await chosen(store, NEWEST) == {"3": ["day"]}
    assert await chosen(store, SPEC, own) == {"3": ["day", own.id]}


async def test_of_a_completed_job_the_fit_of_the_attempt_that_completed_counts(
    store: Store,
) -> None:
    await fit_of(store, "completed", attempt=3)

    assert await chosen(store) == {"3": ["gmm-j-completed-3"]}


@pytest.mark.parametrize(
    ("status", "found"), [("candidate", {}), ("released", {"3": ["gmm-j-releasing-1"]})]
)
async def test_a_fit_counts_as_soon_as_others_may_start_from_its_version(
    store: Store, status: Literal["candidate", "released"], found: dict[str, list[str]]
) -> None:
    job = await fit_of(store, "releasing")
    await store.insert(version(run=job.run, status=status))

    assert await chosen(store) == found


async def test_no_fit_is_too_far_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "EACH_PAGE", 2)
    for number in range(5):
        await fit(store, f"day-{number}", number, data_digests=(str(number) * 64,))

    every = SPEC.model_copy(update={"count": 250})
    assert await chosen(store, every) == {"3": [f"day-{number}" for number in range(5)]}


async def test_a_fit_that_cannot_be_read_is_not_passed_over(store: Store, engine: Engine) -> None:
    day = await fit(store, "day", data_digests=DAY)
    await fit(store, "night", 1, data_digests=NIGHT)
    body = day.model_dump_json().replace('"shape":[8,8]', '"shape":"square"')
    engine.back_door.rewrite(Fitted, "day", body)

    with pytest.raises(Damaged, match="'day'"):
        await fits_by_class(store, SPEC, ("3",))


async def test_no_more_is_read_than_the_classes_asked_for_take(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "EACH_PAGE", 1)
    day = await fit(store, "day", data_digests=DAY)
    await fit(store, "night", 1, data_digests=NIGHT)
    engine.back_door.rewrite(Fitted, "day", day.model_dump_json().replace("[8,8]", '"square"'))

    assert await chosen(store, NEWEST, wanted=("3",)) == {"3": ["night"]}
    with pytest.raises(Damaged, match="'day'"):
        await chosen(store, NEWEST, wanted=("3", "7"))


@pytest.mark.parametrize(
    ("asked", "most"),
    [({"count": 49}, 1), ({"count": 250}, 5), ({}, 40), ({"count": 250, "fits": "newest"}, 1)],
)
def test_a_class_is_rehearsed_from_a_fit_for_each_50_samples(
    asked: dict[str, object], most: int
) -> None:
    assert most_fits(SPEC.model_copy(update=asked)) == most
