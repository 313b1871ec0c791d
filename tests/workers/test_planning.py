"""From a job to the messages that do it: what it starts from, what becomes of its data, and when its turn is."""

import asyncio

import pytest

from bus.errors import Busy
from schemas.documents import Dataset, Document
from schemas.flow import GeneratorFitted, TrainingRequested
from schemas.job import Spec
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
    orders,
    plain,
    planned,
    rehearsal,
)
from workers.planning import first_slice
from workers.resources import Resources

pytestmark = pytest.mark.usefixtures("dataset")


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
