"""What every store promises, on every engine: of documents, of the search for them, and of itself as a whole."""

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.documents import DOCUMENTS, Dataset, Document, Job, Model, SamplePart
from schemas.job import FitSpec
from schemas.limits import MAX_ENTRIES
from store.base import MAX_DOCUMENT_BYTES, MAX_PAGE, Arrivals, Store, change, each
from store.errors import Conflict, Damaged, NotFound
from tests.store.documents import AWKWARD, STRATEGIES
from tests.store.engines import Engine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(key: str, **fields: object) -> Job:
    spec = FitSpec(model="m", generator="gmm", data="digits")
    return Job.model_validate({"id": key, "token": key, "model": "m", "spec": spec} | fields)


def counter(key: str, value: int = 0) -> Model:
    return Model(id=key, released=value)


# Documents


async def test_inserting_an_id_again_changes_nothing(store: Store) -> None:
    assert await store.insert(counter("m", 1)) is True
    assert await store.insert(counter("m", 2)) is False
    assert (await store.get(Model, "m")).released == 1


async def test_one_id_may_be_used_in_every_collection(store: Store) -> None:
    assert await store.insert(counter("m")) is True
    assert await store.insert(job("m")) is True
    assert await store.delete(Model, "m") is True
    assert (await store.get(Job, "m")).token == "m"


async def test_missing_document_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no Model 'm' in the store"):
        await store.get(Model, "m")
    with pytest.raises(NotFound):
        await store.replace(counter("m"))


async def test_deleting_tells_whether_it_was_there(store: Store) -> None:
    await store.insert(counter("m"))
    assert await store.delete(Model, "m") is True
    assert await store.delete(Model, "m") is False
    with pytest.raises(NotFound):
        await store.get(Model, "m")


async def test_replacing_returns_what_is_stored_from_now_on(store: Store) -> None:
    await store.insert(counter("m", 1))
    read = await store.get(Model, "m")
    replaced = await store.replace(read.model_copy(update={"released": 2}))
    assert (replaced.revision, replaced.released) == (1, 2)
    assert await store.get(Model, "m") == replaced


async def test_replacing_an_old_revision_conflicts(store: Store) -> None:
    await store.insert(counter("m", 1))
    old = await store.get(Model, "m")
    await store.replace(old.model_copy(update={"released": 2}))
    with pytest.raises(Conflict, match="Model 'm' was replaced since revision 0 was read"):
        await store.replace(old.model_copy(update={"released": 3}))
    assert (await store.get(Model, "m")).released == 2


async def test_no_change_of_20_concurrent_writers_is_lost(store: Store, other_store: Store) -> None:
    await store.insert(counter("m", 0))

    def add_one(model: Model) -> Model:
        return model.model_copy(update={"released": (model.released or 0) + 1})

    async with asyncio.TaskGroup() as group:
        for connection in [store, other_store] * 10:
            group.create_task(change(connection, Model, "m", add_one))
    final = await store.get(Model, "m")
    assert (final.released, final.revision) == (20, 20)


@pytest.mark.parametrize("kind", DOCUMENTS)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_every_document_reads_back_as_it_was(
    store: Store, kind: type[Document], data: st.DataObject
) -> None:
    document = data.draw(STRATEGIES[kind])
    await store.delete(kind, document.id)
    assert await store.insert(document) is True
    assert await store.get(kind, document.id) == document
    assert await store.find(kind) == [document]
    assert await store.delete(kind, document.id) is True


def test_every_document_type_has_a_round_trip() -> None:
    assert set(STRATEGIES) == set(DOCUMENTS)


async def test_field_of_a_newer_program_is_ignored(store: Store, engine: Engine) -> None:
    await store.insert(counter("m", 7))
    body = json.loads(counter("m", 7).model_dump_json()) | {"invented": "later"}
    engine.back_door.rewrite(Model, "m", json.dumps(body))
    assert (await store.get(Model, "m")).released == 7


@pytest.mark.parametrize("body", ['{"id": "m", "released": "many"}', "[]", "{}"])
async def test_unreadable_document_is_damaged_and_named(
    store: Store, engine: Engine, body: str
) -> None:
    await store.insert(counter("m"))
    engine.back_door.rewrite(Model, "m", body)
    with pytest.raises(Damaged, match="Model 'm' cannot be read"):
        await store.get(Model, "m")
    with pytest.raises(Damaged, match="Model 'm' cannot be read"):
        await store.find(Model)


async def test_unreadable_documents_are_left_out_where_that_is_asked_for(
    store: Store, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        await store.insert(counter(f"m{number}"))
    for key in ("m5", "m2", "m1"):
        engine.back_door.rewrite(Model, key, "[]")

    first = await store.find(Model, limit=2, skip_damaged=True)
    rest = await store.find(Model, limit=2, before=first[-1], skip_damaged=True)

    assert [found.id for found in (*first, *rest)] == ["m4", "m3", "m0"]
    named = {record.getMessage().partition(" cannot")[0] for record in caplog.records}
    assert named == {"Model 'm5'", "Model 'm2'", "Model 'm1'"}


async def test_each_goes_on_after_a_page_of_which_nothing_can_be_read(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.base.EACH_PAGE", 2)
    for number in range(5):
        await store.insert(counter(f"m{number}"))
    for key in ("m3", "m2", "m1"):
        engine.back_door.rewrite(Model, key, "{}")

    assert [found.id async for found in each(store, Model)] == ["m4", "m0"]


async def test_document_over_the_limit_is_refused(store: Store) -> None:
    large = job("j").model_copy(update={"reason": "x" * MAX_DOCUMENT_BYTES})
    with pytest.raises(
        ValueError, match=r"Job 'j': it has \d+ bytes, the limit is \d+, most of it in reason"
    ):
        await store.insert(large)


async def test_largest_document_is_kept(store: Store) -> None:
    most = 2**63 - 1
    part = SamplePart(target="\U0001f600" * 64, count=most, digest="f" * 64, size_bytes=most)
    large = Dataset(
        id="d" * 128,
        source="\U0001f600" * 1024,
        shape=(4096, 4096, 3),
        dtype="float32",
        classes=tuple(chr(0x20000 + number) * 64 for number in range(MAX_ENTRIES)),
        train=(part,) * MAX_ENTRIES,
        test=(part,) * MAX_ENTRIES,
    )
    await store.insert(large)
    assert await store.get(Dataset, large.id) == large


# Search


async def test_pages_are_newest_first_without_gaps_or_repeats(store: Store) -> None:
    times = [NOON + timedelta(microseconds=i // 3) for i in range(50)]  # three of each
    for number, created in enumerate(times):
        await store.insert(Model(id=f"m{number * 7 % 50:02}", created=created))

    pages: list[list[Model]] = []
    while not pages or pages[-1]:
        before = pages[-1][-1] if pages else None
        pages.append(await store.find(Model, limit=7, before=before))

    found = list(itertools.chain.from_iterable(pages))
    assert [len(page) for page in pages] == [7] * 7 + [1, 0]
    assert len({model.id for model in found}) == 50
    assert found == sorted(found, key=lambda model: (model.created, model.id), reverse=True)


async def test_order_follows_time_not_its_notation(store: Store) -> None:
    east = timezone(timedelta(hours=9))
    moments = [NOON, NOON + timedelta(microseconds=1), (NOON + timedelta(hours=1)).astimezone(east)]
    for number, created in enumerate(moments):
        await store.insert(Model(id=f"m{number}", created=created))
    assert [model.id for model in await store.find(Model)] == ["m2", "m1", "m0"]


async def test_search_finds_what_has_all_the_values(store: Store) -> None:
    for number in range(12):
        state = "failed" if number % 2 else "completed"
        await store.insert(job(f"j{number}", model=f"m{number % 3}", state=state, created=NOON))
    found = await store.find(Job, model="m1", state="failed")
    assert [each.id for each in found] == ["j7", "j1"]
    assert await store.find(Job, model="m1", state="failed", before=found[0]) == found[1:]
    assert await store.find(Job, model="m1", state="cancelled") == []


async def test_search_sees_the_latest_replacement(store: Store) -> None:
    await store.insert(job("j"))
    await store.replace((await store.get(Job, "j")).model_copy(update={"state": "failed"}))
    assert await store.find(Job, state="submitted") == []
    assert [each.id for each in await store.find(Job, state="failed")] == ["j"]


@pytest.mark.parametrize("value", AWKWARD)
async def test_search_takes_values_literally(store: Store, value: str) -> None:
    await store.insert(job("j", token=value))
    await store.insert(job("other"))
    assert [each.id for each in await store.find(Job, token=value)] == ["j"]


@pytest.mark.parametrize("kind", DOCUMENTS)
async def test_every_declared_index_can_be_searched(store: Store, kind: type[Document]) -> None:
    for field in kind.indexes:
        absent: dict[str, Any] = {field: "absent"}
        assert await store.find(kind, **absent) == []


async def test_search_by_another_field_is_refused(store: Store) -> None:
    for search in (store.find, store.count):
        with pytest.raises(ValueError, match="reason: jobs can be searched by token, model, state"):
            await search(Job, reason="x")


async def test_documents_are_counted_by_what_they_can_be_searched_by(store: Store) -> None:
    for number, state in enumerate(("failed", "training", "failed")):
        await store.insert(job(f"j{number}", state=state))
    await store.insert(counter("m", 1))
    assert await store.count(Job) == 3
    assert await store.count(Job, state="failed") == 2
    assert await store.count(Job, state="failed", model="other") == 0


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_page_size_out_of_range_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit: {limit} is not in 1..{MAX_PAGE}"):
        await store.find(Job, limit=limit)


# The store as a whole


async def test_cancelled_calls_leave_a_store_that_works(store: Store) -> None:
    for ticks in range(30):
        async with asyncio.TaskGroup() as group:
            put = group.create_task(store.put_part(b"%d" % ticks, "me"))
            arrive = group.create_task(store.arrive("g", ticks, "x", 31))
            for _ in range(ticks):
                await asyncio.sleep(0)
            put.cancel()
            arrive.cancel()
    for member in range(31):
        last = await store.arrive("g", member, "x", 31)
    assert last.values == ["x"] * 31
    digest = await store.put_part(b"data", "me")
    assert await store.get_part(digest) == b"data"


async def test_what_was_written_is_there_for_the_next_to_open(engine: Engine) -> None:
    async with engine.open() as store:
        await store.insert(counter("m", 1))
        digest = await store.put_part(b"data", "me")
        await store.arrive("g", 0, "a", 2)
        await store.tally("j", {"seconds": 1})
    async with engine.open() as store:
        assert (await store.get(Model, "m")).released == 1
        assert await store.get_part(digest) == b"data"
        assert await store.arrive("g", 1, "b", 2) == Arrivals(2, ["a", "b"])
        assert await store.tallies("j") == {"seconds": 1.0}


async def test_ping_names_the_engine_and_its_version(store: Store) -> None:
    assert (await store.ping()).split()[0] in ("SQLite", "MongoDB")
    assert (await store.ping()).split()[1][0].isdigit()
