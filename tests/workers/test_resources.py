"""What all stages do with a job: end quietly when it is over, fail it when it cannot be done."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from schemas.documents import Job
from schemas.flow import Progress, RehearsalRequested
from schemas.message import Message
from schemas.names import work_of
from store.base import Store
from store.errors import NotFound
from store.jobs import finish
from tests.workers.scene import add_job, is_there, job_now, only, plain
from workers.resources import Refusal, Resources, report

REQUEST = RehearsalRequested(job="j-1")


async def handled(
    resources: Resources,
    error: Exception | None = None,
    message: RehearsalRequested = REQUEST,
    **rules: bool,
) -> list[str]:
    """Handle a request, and return the states that were reported."""

    async def handle(job: Job, _: RehearsalRequested) -> AsyncIterator[Message]:
        yield report(job, "probe", note="handled")
        if error:
            raise error

    guarded = resources.on_jobs("probe", handle, **rules)
    said = [only(Progress, [output]) async for output in guarded(message)]
    assert {news.attempt for news in said} <= {message.attempt}
    return [news.note or news.state for news in said]


async def test_a_refusal_fails_the_job_with_its_reason(store: Store, resources: Resources) -> None:
    await add_job(store, plain())

    said = await handled(resources, Refusal("count: too many"))

    assert said == ["handled", "count: too many"]
    job = await job_now(store)
    assert (job.state, job.reason) == ("failed", "count: too many")


async def test_something_named_that_is_not_there_fails_the_job(
    store: Store, resources: Resources
) -> None:
    await add_job(store, plain())

    await handled(resources, NotFound("Dataset", "absent"))

    assert (await job_now(store)).reason == "no Dataset 'absent' in the store"


async def test_any_other_error_is_for_the_bus_to_bury(store: Store, resources: Resources) -> None:
    await add_job(store, plain())

    with pytest.raises(ZeroDivisionError):
        await handled(resources, ZeroDivisionError())

    assert (await job_now(store)).state == "submitted"


@pytest.mark.parametrize("state", ["cancelled", "failed", "rejected", "completed"])
async def test_a_message_of_a_job_that_is_over_only_cleans_up(
    store: Store, resources: Resources, state: str
) -> None:
    job = await add_job(store, plain(), state=state)
    left = await store.put_part(b"left behind", work_of(job.run))

    assert await handled(resources) == [state]

    assert not await is_there(store, left)


async def test_the_stage_that_completes_jobs_may_repeat_itself(
    store: Store, resources: Resources
) -> None:
    await add_job(store, plain(), state="completed")

    assert await handled(resources, even_completed=True) == ["handled"]


async def test_a_job_that_failed_is_not_repeated_even_so(
    store: Store, resources: Resources
) -> None:
    await add_job(store, plain(), state="failed")

    assert await handled(resources, even_completed=True) == ["failed"]


async def test_a_message_of_an_earlier_attempt_only_cleans_up_after_it(
    store: Store, resources: Resources
) -> None:
    job = await add_job(store, plain(), state="training", attempt=2)
    stale = await store.put_part(b"of the first attempt", work_of("j-1.1"))
    fresh = await store.put_part(b"of the second", work_of(job.run))

    assert await handled(resources, Refusal("too late to matter")) == []

    assert not await is_there(store, stale)
    assert await is_there(store, fresh)
    assert await job_now(store) == job


async def test_what_a_stage_says_is_on_behalf_of_the_same_attempt(
    store: Store, resources: Resources
) -> None:
    await add_job(store, plain(), attempt=2)

    again = REQUEST.model_copy(update={"attempt": 2})

    assert await handled(resources, message=again) == ["handled"]


async def test_a_slice_is_due_once_its_time_is_used_up(store: Store) -> None:
    assert Resources(store, (), slice_s=0).due()()
    assert not Resources(store, (), slice_s=60).due()()


async def test_a_report_fits_its_message_however_long_the_reason(store: Store) -> None:
    job = await add_job(store, plain(), state="failed", reason="x" * 4096)

    assert len(report(job, "probe").note) == 1024


async def test_what_a_handler_keeps_for_a_job_that_ended_meanwhile_is_removed(
    store: Store, resources: Resources
) -> None:
    job = await add_job(store, plain(), state="training")
    kept = []

    async def handle(_: Job, __: RehearsalRequested) -> AsyncIterator[Message]:
        await finish(store, job, "cancelled", "not wanted")
        kept.append(await store.put_part(b"late", work_of(job.run)))
        await store.arrive(job.run, 0, "late", 2)
        yield report(job, "probe")

    guarded = resources.on_jobs("probe", handle)
    assert [output async for output in guarded(REQUEST)]

    assert not await is_there(store, kept[0])
    assert await store.arrived(job.run) == set()


async def test_a_message_of_a_job_past_its_deadline_fails_it_before_it_is_handled(
    store: Store, resources: Resources
) -> None:
    asked = datetime.now(UTC) - timedelta(seconds=61)
    await add_job(store, plain(deadline_s=60), state="training", asked=asked)

    said = await handled(resources)

    assert said == ["deadline: not over 60 s after it was asked for; it was training"]
    assert (await job_now(store)).state == "failed"
