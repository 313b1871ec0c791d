"""Which fits a job rehearses its classes from: chosen once, whoever plans it at the same time."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.documents import Document, Fitted
from schemas.flow import FittingRequested, GenerationRequested, GeneratorFitted, Order, Progress
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    job_now,
    of,
    only,
    orders,
    planned,
    rehearsal,
)
from workers.resources import Resources

pytestmark = pytest.mark.usefixtures("dataset")


async def test_of_the_same_data_the_newest_fit_of_a_class_counts(
    store: Store, resources: Resources
) -> None:
    now = datetime.now(UTC)
    await add_fitted(store, "gmm-newer", ("bee",), created=now)
    await add_fitted(store, "gmm-older", KNOWN, created=now - timedelta(days=1))
    await add_fitted(store, "ga-newest", KNOWN, generator="ga", created=now + timedelta(days=1))
    await add_job(store, rehearsal())

    made = await orders(resources)

    assert {order.target: order.fitted for order in made} == {
        "ant": "gmm-older",
        "bee": "gmm-newer",
    }
    assert (await job_now(store)).fitted == {"ant": ("gmm-older",), "bee": ("gmm-newer",)}


async def two_looks(store: Store) -> None:
    """Ants and bees were fitted by day, and ants by night."""
    now = datetime.now(UTC)
    await add_fitted(store, "gmm-night", ("ant",), data="night", created=now)
    await add_fitted(store, "gmm-day", data="day", created=now - timedelta(days=1))


@pytest.mark.parametrize(
    ("fits", "ants"),
    [("every", {"gmm-day": 50, "gmm-night": 51}), ("newest", {"gmm-night": 101})],
)
async def test_a_class_is_rehearsed_from_every_data_that_it_was_fitted_on_unless_told(
    store: Store, resources: Resources, fits: str, ants: dict[str, int]
) -> None:
    await two_looks(store)
    await add_job(store, rehearsal(count=101, fits=fits))

    made = await orders(resources)

    assert {each.fitted: each.count for each in made if each.target == "ant"} == ants
    assert {each.fitted: each.count for each in made if each.target == "bee"} == {"gmm-day": 101}
    assert (await job_now(store)).fitted == {"ant": tuple(ants), "bee": ("gmm-day",)}


@pytest.mark.parametrize(
    ("fits", "ants"),
    [("every", ("gmm-day", "gmm-night", "gmm-j-1-1")), ("newest", ("gmm-j-1-1",))],
)
async def test_what_the_job_itself_fits_comes_beside_what_a_class_looked_like_before(
    store: Store, resources: Resources, fits: str, ants: tuple[str, ...]
) -> None:
    await two_looks(store)
    asked = rehearsal(fit_new=True, classes=("bee",), fits=fits, count=150)
    await add_job(store, asked, state="fitting")
    behind = datetime.now(UTC) - timedelta(days=9)  # as its worker's clock is
    own = await add_fitted(store, "gmm-j-1-1", ("ant",), data="dusk", job="j-1", created=behind)

    await planned(resources, GeneratorFitted(job="j-1", fitted=own.id))

    assert (await job_now(store)).fitted == {"bee": ("gmm-day",), "ant": ants}


async def test_a_job_that_an_earlier_release_planned_goes_on_with_the_fits_that_it_chose(
    store: Store, resources: Resources
) -> None:
    await two_looks(store)
    fitted = dict.fromkeys(KNOWN, "gmm-day")  # a plain name, as it was then
    await add_job(store, rehearsal(), state="generating", fitted=fitted)

    made = await orders(resources)

    assert [(each.target, each.fitted, each.count) for each in made] == [
        ("ant", "gmm-day", 20),
        ("bee", "gmm-day", 20),
    ]


async def test_a_class_without_a_fit_fails_the_job(store: Store, resources: Resources) -> None:
    await add_fitted(store, classes=("ant",))
    await add_job(store, rehearsal())

    assert await orders(resources) == []

    job = await job_now(store)
    assert job.state == "failed"
    assert "no gmm generator of model m was fitted for bee" in job.reason


async def test_with_fit_new_the_new_classes_are_rehearsed_too(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    job = await add_job(store, rehearsal(fit_new=True))

    asked = only(FittingRequested, await planned(resources))
    fitted = await add_fitted(store, "gmm-j-1-1", ("cat",), job=job.id)
    made = await planned(resources, GeneratorFitted(job=job.id, fitted=fitted.id))

    assert asked.key == "fitting.requested.v1.gmm"
    targets = {message.order.target: message.order for message in of(GenerationRequested, made)}
    assert set(targets) == {"ant", "bee", "cat"}
    assert targets["cat"].fitted == "gmm-j-1-1"
    assert only(Progress, made).total == 3


async def test_a_repeat_keeps_the_fits_that_were_chosen(store: Store, resources: Resources) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal())
    first = await orders(resources)
    await add_fitted(store, "gmm-newer")

    assert await orders(resources) == first


def while_fits_are_read(store: Store, act: Callable[[], Awaitable[object]]) -> None:
    """Let something happen once, just after the next look at what fits there are."""
    find = store.find

    async def found(kind: type[Document], **asked: Any) -> list[Document]:
        page = await find(kind, **asked)
        if kind is Fitted:
            store.find = find  # type: ignore[method-assign]
            await act()
        return page

    store.find = found  # type: ignore[assignment, method-assign]


async def test_deliveries_that_choose_at_the_same_time_ask_for_the_shards_of_one_plan(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store, "gmm-day", data="day")
    await add_job(store, rehearsal(count=100))
    other: list[Order] = []

    async def other_delivery() -> None:
        await add_fitted(store, "gmm-night", data="night")
        other.extend(await orders(resources))

    while_fits_are_read(store, other_delivery)
    assert await orders(resources) == other

    assert [each.fitted for each in other] == ["gmm-day", "gmm-night"] * 2
    assert (await job_now(store)).fitted == dict.fromkeys(KNOWN, ("gmm-day", "gmm-night"))


async def test_nothing_is_asked_for_once_the_job_has_moved_on(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    job = await add_job(store, rehearsal())
    moved = job.model_copy(update={"state": "training"})

    while_fits_are_read(store, lambda: store.replace(moved))

    assert await planned(resources) == []
