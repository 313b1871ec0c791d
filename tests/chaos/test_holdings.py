"""The referee finds what is lost, orphaned or applied twice, in either engine."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.documents import ModelVersion
from schemas.model import PartRef, Provenance, Scores
from store.base import Store
from store.connect import open_store
from tests.chaos import holdings
from tests.chaos.curriculum import add_data


@dataclass(frozen=True)
class Kept:
    """A store, and how to judge it."""

    store: Store
    url: str

    async def problems(self) -> list[str]:
        return await holdings.problems(self.store, holdings.read(self.url))


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    is_mongo = request.param == "mongo"
    url = request.getfixturevalue("mongo_url") if is_mongo else f"sqlite://{tmp_path}/store.db"
    async with open_store(url) as store:
        await add_data(store)
        yield Kept(store, url)


def version(number: int, run: str, digest: str) -> ModelVersion:
    return ModelVersion(
        id=f"m@{number}",
        model="m",
        number=number,
        run=run,
        architecture="dense8",
        shape=(8, 8),
        dtype="uint8",
        classes=("0", "1"),
        parts=(PartRef(name="head", digest=digest, size_bytes=1),),
        scores=Scores(measured_on="validation", accuracy=1.0, per_class={}),
        provenance=Provenance(job="j", seed=0, code_version="1"),
        status="candidate",
    )


async def test_what_documents_ask_for_is_no_problem(kept: Kept) -> None:
    digest = await kept.store.put_part(b"head", "model/j.1")
    await kept.store.insert(version(1, "j.1", digest))

    assert await kept.problems() == []


async def test_part_that_nobody_asks_for_is_an_orphan(kept: Kept) -> None:
    digest = await kept.store.put_part(b"forgotten", "run/j.1")

    assert await kept.problems() == [f"orphan: run/j.1 claims {digest}", f"orphan: part {digest}"]


async def test_arrivals_at_a_gate_that_nobody_closed_are_an_orphan(kept: Kept) -> None:
    await kept.store.arrive("j.1", 0, "value", 2)

    assert await kept.problems() == ["orphan: gate j.1"]


async def test_part_that_a_document_asks_for_in_vain_is_lost(kept: Kept) -> None:
    digest = await kept.store.put_part(b"head", "model/j.1")
    await kept.store.insert(version(1, "j.1", digest))
    await kept.store.drop_parts("model/j.1")

    assert await kept.problems() == [
        f"lost: model/j.1 has no claim on {digest}",
        f"lost: part {digest}",
    ]


async def test_second_version_of_the_same_run_was_applied_twice(kept: Kept) -> None:
    for number in (1, 2):
        digest = await kept.store.put_part(b"head", "model/j.1")
        await kept.store.insert(version(number, "j.1", digest))

    assert await kept.problems() == ["applied twice: j.1 made m@2 and m@1"]
