"""From a job to the messages that do it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from math import prod
from typing import Any

import pytest

from bus.errors import Busy
from schemas.documents import Dataset, Document, Fitted
from schemas.flow import (
    MAX_SHARDS,
    FittingRequested,
    GenerationRequested,
    GeneratorFitted,
    Order,
    Progress,
    RehearsalRequested,
    TrainingRequested,
)
from schemas.job import Spec
from schemas.message import Message, derived_id
from store.base import Store
from store.errors import NotFound
from tests.workers.scene import (
    KNOWN,
    add_dataset,
    add_fitted,
    add_job,
    add_version,
    fit,
    is_there,
    job_now,
    of,
    only,
    plain,
    rehearsal,
    sent,
)
from workers.planning import first_slice, stage
from workers.resources import Resources
from workers.shards import SHARD_BYTES, SHARD_SAMPLES

REQUEST = RehearsalRequested(job="j-1")


@pytest.fixture(autouse=True)
async def dataset(store: Store) -> Dataset:
    """What the jobs learn."""
    return await add_dataset(store)


async def planned(resources: Resources, message: Message = REQUEST) -> list[Message]:
    return await sent(stage(resources), message)


async def orders(resources: Resources) -> list[Order]:
    return [message.order for message in of(GenerationRequested, await planned(resources))]


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [((3,), "float32", 1), ((28, 28), "uint8", 1201), ((64, 64, 3), "float32", 60)],
)
async def test_shards_cover_exactly_what_is_asked_of_each_class(
    store: Store, resources: Resources, shape: tuple[int, ...], dtype: str, count: int
) -> None:
    await add_fitted(store, shape=shape, dtype=dtype)
    await add_job(store, rehearsal(count=count))

    made = await orders(resources)

    for target in KNOWN:
        assert sum(order.count for order in made if order.target == target) == count
    assert [order.shard for order in made] == list(range(len(made)))
    assert {order.shards for order in made} == {len(made)}
    sample_bytes = prod(shape) * (1 if dtype == "uint8" else 4)
    assert max(order.count for order in made) <= SHARD_SAMPLES
    assert max(order.count for order in made) * sample_bytes <= SHARD_BYTES


async def test_a_sample_larger_than_a_shard_gets_one_of_its_own(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store, shape=(1024, 1024, 3), dtype="uint8")
    await add_job(store, rehearsal(count=2))

    assert [order.count for order in await orders(resources)] == [1, 1, 1, 1]


async def test_a_seed_follows_from_the_job_the_class_and_the_shard_alone(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1200, classes=("bee",), seed=3))
    alone = await orders(resources)
    await store.replace(
        (await job_now(store)).model_copy(
            update={"spec": rehearsal(count=1200, seed=3), "state": "submitted", "fitted": {}}
        )
    )

    together = await orders(resources)

    seeds = [order.seed for order in together]
    assert len(set(seeds)) == len(seeds) == 6
    assert [order.seed for order in alone] == [
        order.seed for order in together if order.target == "bee"
    ]


async def test_another_job_seed_gives_other_seeds(store: Store, resources: Resources) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(seed=1))
    first = await orders(resources)
    await store.replace((await job_now(store)).model_copy(update={"spec": rehearsal(seed=2)}))

    second = await orders(resources)

    assert {order.seed for order in first}.isdisjoint(order.seed for order in second)


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


async def test_the_released_version_is_the_base(store: Store, resources: Resources) -> None:
    await add_version(store, 4)
    await add_job(store, plain())

    made = await planned(resources)

    job = await job_now(store)
    assert (job.state, job.base) == ("training", 4)
    assert only(TrainingRequested, made).id == first_slice(job).id


async def test_a_base_that_is_not_there_fails_the_job(store: Store, resources: Resources) -> None:
    await add_job(store, plain(base=9))

    assert of(TrainingRequested, await planned(resources)) == []

    assert (await job_now(store)).reason == "no ModelVersion 'm@9' in the store"


async def test_a_repeat_asks_for_the_same_and_keeps_the_base(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    await add_version(store, 1)
    await add_job(store, rehearsal())
    first = await orders(resources)
    await add_version(store, 2)

    assert await orders(resources) == first

    assert (await job_now(store)).base == 1


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


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        (fit(), "fitting"),
        (rehearsal(), "generating"),
        (rehearsal(fit_new=True), "fitting"),
        (plain(), "training"),
    ],
)
async def test_what_the_data_holds_is_pinned_when_a_job_is_planned_and_not_later(
    store: Store, resources: Resources, dataset: Dataset, spec: Spec, state: str
) -> None:
    await add_fitted(store)
    await add_job(store, spec)

    await planned(resources)
    await store.replace(dataset.model_copy(update={"train": dataset.train[:1]}))
    await planned(resources)

    job = await job_now(store)
    assert (job.state, job.data) == (state, {"new": dataset.fingerprint})


@pytest.mark.parametrize("spec", [fit(), plain()])
async def test_a_job_without_its_data_fails_when_it_is_planned(
    store: Store, resources: Resources, spec: Spec
) -> None:
    await add_job(store, spec)
    await store.delete(Dataset, "new")

    await planned(resources)

    job = await job_now(store)
    assert job.state == "failed"
    assert job.reason.startswith("no Dataset ")


async def test_a_fit_deletes_the_originals_only_once_it_is_stored(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store)
    job = await add_job(store, fit(delete_originals=True))

    await planned(resources)
    assert (await store.get(Dataset, "new")).train == dataset.train
    await add_fitted(store, "gmm-j-1-1", data="new", data_digests=dataset.digests)
    await planned(resources, GeneratorFitted(job=job.id, fitted="gmm-j-1-1"))

    with pytest.raises(NotFound):
        await store.get(Dataset, "new")
    assert not await is_there(store, dataset.train[0].digest)
    done = await job_now(store)
    assert (done.state, done.result) == ("completed", "gmm-j-1-1")


async def test_data_that_took_the_name_of_what_was_fitted_is_not_deleted(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    job = await add_job(store, fit(delete_originals=True), state="fitting")
    await add_fitted(store, "gmm-j-1-1", data="new", data_digests=("0" * 64,))

    await planned(resources, GeneratorFitted(job=job.id, fitted="gmm-j-1-1"))

    assert (await store.get(Dataset, "new")).id == "new"


async def test_a_fit_keeps_the_originals_unless_told(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    job = await add_job(store, fit(), state="fitting")

    await planned(resources, GeneratorFitted(job=job.id, fitted="gmm-j-1-1"))

    assert (await store.get(Dataset, "new")).id == "new"
    assert (await job_now(store)).state == "completed"


async def test_more_shards_than_a_gate_takes_are_refused(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store, shape=(1024, 1024), dtype="uint8")
    await add_job(store, rehearsal(count=MAX_SHARDS))

    assert await orders(resources) == []

    assert f"count: {2 * MAX_SHARDS} shards, at most" in (await job_now(store)).reason


async def test_only_a_window_of_shards_is_asked_for(store: Store) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))

    made = await planned(Resources(store, ("gmm",), window=4))

    asked = [message.order for message in of(GenerationRequested, made)]
    assert [(order.shard, order.shards, order.window) for order in asked] == [
        (shard, 6, 4) for shard in range(4)
    ]
    assert only(Progress, made).total == 6


async def test_a_job_that_is_asked_for_again_goes_on_with_what_has_not_arrived(
    store: Store,
) -> None:
    resources = Resources(store, ("gmm",), window=2)
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))
    first = of(GenerationRequested, await planned(resources))
    for shard in (0, 1, 2):
        await store.arrive("j-1.1", shard, "{}", 6)

    nudge = RehearsalRequested(id=derived_id("nudge"), job="j-1")
    again = of(GenerationRequested, [each async for each in stage(resources).handle(nudge)])
    repeated = of(GenerationRequested, [each async for each in stage(resources).handle(nudge)])

    assert [message.order.shard for message in again] == [4, 3]
    assert again == repeated
    # What was lost may have been lost after generation: it must not take this for what it has done.
    assert {message.id for message in again}.isdisjoint(message.id for message in first)


async def test_a_job_whose_shards_are_all_in_is_collected_when_it_is_asked_for_again(
    store: Store, resources: Resources
) -> None:
    await add_fitted(store)
    await add_job(store, rehearsal(count=1201))
    await planned(resources)
    for shard in range(6):
        await store.arrive("j-1.1", shard, "{}", 6)

    assert [order.shard for order in await orders(resources)] == [5]


@pytest.mark.parametrize("state", ["fitting", "generating", "training", "releasing"])
async def test_a_job_waits_for_its_turn_while_as_many_as_may_are_under_way(
    store: Store, state: str
) -> None:
    await add_job(store, plain())
    other = await add_job(store, plain(), id="j-other", state=state)
    resources = Resources(store, (), active_jobs=1, turn_s=0)

    with pytest.raises(Busy, match="1 jobs are under way"):
        await planned(resources)
    assert (await job_now(store)).state == "submitted"

    await store.replace(other.model_copy(update={"state": "completed"}))
    assert of(TrainingRequested, await planned(resources))


async def test_a_job_under_way_does_not_wait_for_another_turn(store: Store) -> None:
    await add_fitted(store)
    fitted = dict.fromkeys(KNOWN, ("gmm-earlier",))
    await add_job(store, rehearsal(), state="generating", fitted=fitted)

    assert await orders(Resources(store, (), active_jobs=1, turn_s=0))


async def test_a_job_that_waits_for_a_person_takes_no_turn(store: Store) -> None:
    await add_job(store, plain(), id="j-other", state="reviewing")
    await add_job(store, plain())

    assert of(TrainingRequested, await planned(Resources(store, (), active_jobs=1, turn_s=0)))


async def test_a_job_begins_as_soon_as_another_is_over(store: Store) -> None:
    await add_job(store, plain())
    other = await add_job(store, plain(), id="j-other", state="training")
    looked = asyncio.Event()
    count = store.count

    async def noting(kind: type[Document], **equal: str) -> int:
        looked.set()
        return await count(kind, **equal)

    store.count = noting  # type: ignore[method-assign]
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(planned(Resources(store, (), active_jobs=1, turn_s=60)))
        await looked.wait()
        await store.replace(other.model_copy(update={"state": "failed"}))

    assert of(TrainingRequested, waiting.result())


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
