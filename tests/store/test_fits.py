"""Which fits stand for a class: one of each data that it was fitted on, and of the same data the newest."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.documents import Fitted
from schemas.job import RehearsalSpec
from store import base
from store.base import Store
from store.errors import Damaged
from store.fits import fits_by_class
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


async def chosen(
    store: Store, spec: RehearsalSpec = SPEC, own: Fitted | None = None
) -> dict[str, list[str]]:
    found = await fits_by_class(store, spec, own)
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


async def test_no_more_fits_are_chosen_than_samples_are_asked_for(store: Store) -> None:
    for number in range(5):
        await fit(store, f"day-{number}", number, data_digests=(str(number) * 64,))

    assert await chosen(store, SPEC.model_copy(update={"count": 2})) == {"3": ["day-3", "day-4"]}


async def test_no_fit_is_too_far_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "EACH_PAGE", 2)
    for number in range(5):
        await fit(store, f"day-{number}", number, data_digests=(str(number) * 64,))

    assert await chosen(store) == {"3": [f"day-{number}" for number in range(5)]}


async def test_a_fit_that_cannot_be_read_is_not_passed_over(store: Store, engine: Engine) -> None:
    day = await fit(store, "day", data_digests=DAY)
    await fit(store, "night", 1, data_digests=NIGHT)
    body = day.model_dump_json().replace('"shape":[8,8]', '"shape":"square"')
    engine.back_door.rewrite(Fitted, "day", body)

    with pytest.raises(Damaged, match="'day'"):
        await fits_by_class(store, SPEC)
