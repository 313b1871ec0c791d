"""The main job, from a request to a released model, in one process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.documents import Dataset, Fitted, Model, ModelVersion, RehearsalSet
from schemas.job import FitSpec, RehearsalSpec, Training
from store.errors import NotFound
from tests.pipeline.system import NAMES, System, add_digits, embedded

OLD, NEW = NAMES[:5], NAMES[5:]
QUICK = Training(epochs=4)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with embedded(tmp_path, slice_s=0.5) as running:
        await add_digits(running.store, "old", OLD)
        await add_digits(running.store, "new", NEW)
        await add_digits(running.store, "all", NAMES)
        first = RehearsalSpec(model="digits", new_data="old", training=Training(epochs=15))
        job = await running.run("j-first", first)
        assert (job.state, job.reason) == ("completed", "")
        yield running


async def fit(system: System, generator: str, **options: float) -> None:
    spec = FitSpec(model="digits", generator=generator, data="old", options=options)
    job = await system.run(f"j-fit-{generator}", spec)
    assert (job.state, job.reason) == ("completed", "")


def rehearse(generator: str | None, **changes: object) -> RehearsalSpec:
    asked = {
        "model": "digits",
        "new_data": "new",
        "generator": generator,
        "classes": OLD if generator else (),
        "count": 60,
        "probe": "all",
        "training": Training(epochs=15),
        **changes,
    }
    return RehearsalSpec.model_validate(asked)


def on_old(version: ModelVersion) -> float:
    return sum(version.scores.per_class[name] for name in OLD) / len(OLD)


async def test_rehearsal_keeps_what_naive_training_forgets(system: System) -> None:
    await fit(system, "gmm")

    naive = await system.run("j-naive", rehearse(None, release=False))
    rehearsed = await system.run("j-gmm", rehearse("gmm"))

    assert rehearsed.reason == ""
    forgot = await system.store.get(ModelVersion, str(naive.result))
    kept = await system.store.get(ModelVersion, str(rehearsed.result))
    assert on_old(kept) > 0.75 > 0.4 > on_old(forgot)
    assert kept.scores.accuracy > 0.85
    assert kept.classes == NAMES
    assert kept.provenance.generator == "gmm"
    assert (await system.store.get(Model, "digits")).released == kept.number


@pytest.mark.parametrize("generator", ["original", "gmm", "ga", "gan"])
async def test_every_generator_works_with_the_original_data_gone(
    system: System, generator: str
) -> None:
    options = {"steps": 40} if generator == "gan" else {}
    spec = FitSpec(
        model="digits", generator=generator, data="old", options=options, delete_originals=True
    )
    await system.run("j-fit", spec)
    with pytest.raises(NotFound):
        await system.store.get(Dataset, "old")

    asked = rehearse(
        generator,
        options=options,
        training=QUICK,
        filter={"min_confidence": 0.0},
        review={"min_count": 0},  # a generator this quickly fitted need not convince the model
    )
    job = await system.run("j-again", asked)

    assert (job.state, job.reason) == ("completed", "")
    kept = await system.store.get(RehearsalSet, job.run)
    assert set(kept.counts) == set(NAMES)
    assert sum(kept.counts.values()) + sum(job.rejected.values()) > 0
    assert len(await system.store.find(Fitted, model="digits")) == 2


async def test_soft_labels_keep_what_was_known(system: System) -> None:
    await fit(system, "gmm")

    job = await system.run("j-soft", rehearse("gmm", labels={"kind": "soft"}))

    assert (job.state, job.reason) == ("completed", "")
    assert on_old(await system.store.get(ModelVersion, str(job.result))) > 0.75


async def test_a_generator_that_mixes_two_classes_up_is_corrected(system: System) -> None:
    await fit(system, "gmm")
    (fitted,) = await system.store.find(Fitted, model="digits")
    swapped = ("1", "0", *OLD[2:])
    await system.store.replace(fitted.model_copy(update={"classes": swapped}))

    job = await system.run("j-corrected", rehearse("gmm", labels={"kind": "corrected"}))

    assert (job.state, job.reason) == ("completed", "")
    kept = await system.store.get(RehearsalSet, job.run)
    assert kept.corrected["0"] > 30 < kept.corrected["1"]
    assert sum(kept.counts.values()) + sum(job.rejected.values()) == 60 * len(NAMES)
    assert on_old(await system.store.get(ModelVersion, str(job.result))) > 0.75
