"""A generator learns its task slice by slice, and is stored once."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from learning import generators
from learning.bundle import pack, unpack
from learning.generators.base import Fit, Task
from learning.problem import held_out
from learning.reference import Reference
from schemas.documents import Dataset, Fitted, SamplePart
from schemas.flow import FittingRequested, GeneratorFitted, Progress
from schemas.job import Spec
from schemas.message import Message
from store.base import Store
from tests.workers.scene import (
    ABSENT,
    KNOWN,
    add_dataset,
    add_job,
    fit,
    is_there,
    job_now,
    of,
    only,
    rehearsal,
    samples_of,
    sent,
)
from workers.fitting import stage
from workers.resources import Resources


def request(generator: str = "gmm", **fields: object) -> FittingRequested:
    return FittingRequested.model_validate({"job": "j-1", "generator": generator, **fields})


async def fitted(resources: Resources, message: Message | None = None) -> list[Message]:
    return await sent(stage(resources), message or request())


async def test_the_fit_is_stored_with_all_that_sampling_needs(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store)
    await add_job(store, fit(options={"components": 2}, seed=5))

    made = await fitted(resources)

    kept = await store.get(Fitted, only(GeneratorFitted, made).fitted)
    assert (kept.id, kept.classes, kept.seed) == ("gmm-j-1-1", KNOWN, 5)
    assert kept.options == {"components": 2}
    assert (kept.data_digests, kept.class_digests) == (dataset.digests, dataset.class_digests)
    assert {"0/means", "1/means"} <= set(unpack(await store.get_part(kept.digest)))
    assert only(Progress, made).done == 100


async def test_data_that_was_replaced_between_two_slices_fails_the_job(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store)
    pins = {"new": dataset.fingerprint}
    await add_job(store, fit(), state="fitting", data=pins)
    goes_on = only(FittingRequested, await fitted(replace(resources, slice_s=0)))
    await store.replace(dataset.model_copy(update={"train": dataset.train[::-1]}))

    await fitted(resources, goes_on)

    job = await job_now(store)
    assert job.state == "failed"
    assert job.reason.startswith("new: other data was added under this name")


async def test_a_fit_in_slices_is_the_same_fit(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(store, fit(), state="fitting")
    whole = await store.get(Fitted, only(GeneratorFitted, await fitted(resources)).fitted)
    await store.delete(Fitted, whole.id)
    hasty = replace(resources, slice_s=0)

    first = await fitted(hasty)
    goes_on = only(FittingRequested, first)
    last = await fitted(hasty, goes_on)

    assert only(Progress, first).done == 50
    assert goes_on.slice == 1
    sliced = await store.get(Fitted, only(GeneratorFitted, last).fitted)
    assert sliced.digest == whole.digest


async def test_a_repeat_after_the_data_is_gone_still_says_that_it_is_fitted(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, fit(), state="fitting")
    before = await fitted(resources)
    await store.drop_parts("data/new")
    await store.delete(Dataset, "new")

    after = await fitted(resources)

    assert only(GeneratorFitted, after) == only(GeneratorFitted, before)
    assert (await job_now(store)).state == "fitting"


async def test_a_superseded_slice_does_nothing(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(store, fit(), state="fitting")

    assert await fitted(resources, request(slice=1, checkpoint=ABSENT)) == []


async def test_statistics_of_the_real_data_are_kept_beside_the_generator(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, fit())

    kept = await store.get(Fitted, only(GeneratorFitted, await fitted(resources)).fitted)

    assert kept.reference is not None
    data = await store.get_part(kept.reference.digest)
    assert len(data) == kept.reference.size_bytes == kept.kept_bytes - kept.size_bytes
    known = Reference.from_arrays(unpack(data)).of_class(1)
    assert known is not None
    assert known.mean == pytest.approx(known.cells[0], abs=0.01)  # 12 samples: one cell
    await store.drop_parts(f"fitted/{kept.id}")
    assert not await is_there(store, kept.reference.digest)


async def add_grey_dataset(store: Store) -> None:
    parts = []
    for target in KNOWN:
        data = pack({"samples": (100 * samples_of(target, 60) + 50).astype(np.uint8)})
        digest = await store.put_part(data, "data/new")
        parts.append(SamplePart(target=target, count=60, digest=digest, size_bytes=len(data)))
    dataset = await add_dataset(store)
    greys = {"train": tuple(parts), "test": tuple(parts), "dtype": "uint8"}
    await store.replace(dataset.model_copy(update=greys))


async def test_nothing_of_the_real_data_is_kept_or_told_beside_a_private_fit(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    await add_grey_dataset(store)
    await add_job(store, fit(options={"epsilon": 1}))

    made = await fitted(resources)

    kept = await store.get(Fitted, only(GeneratorFitted, made).fitted)
    assert (kept.reference, kept.quality) == (None, None)
    assert (only(Progress, made).note, caplog.text) == ("", "")
    assert await store.drop_parts(f"fitted/{kept.id}") == 1  # the state alone


async def test_the_figures_of_the_fit_are_kept_and_told(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    await add_dataset(store, count=60)
    await add_job(store, fit(options={"components": 1}))

    made = await fitted(resources)

    quality = (await store.get(Fitted, only(GeneratorFitted, made).fitted)).quality
    assert quality is not None
    assert (quality.accuracy, quality.accuracy_real, quality.memorises) == (1, 1, False)
    assert only(Progress, made).note.startswith("teaches 100.0% (real samples 100.0%), ")
    assert "memorises" not in caplog.text


async def test_a_generator_that_memorises_is_warned_of(
    store: Store, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    await add_dataset(store, count=60)
    await add_job(store, fit(generator="original"))

    made = await fitted(resources, request("original"))

    assert "generator original of job j-1 memorises its data" in caplog.text
    assert only(Progress, made).note.endswith("it memorises its data")


async def test_without_a_test_split_there_is_no_accuracy(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store)
    await store.replace(dataset.model_copy(update={"test": ()}))
    await add_job(store, fit())

    made = await fitted(resources)

    quality = (await store.get(Fitted, only(GeneratorFitted, made).fitted)).quality
    assert quality is not None
    assert (quality.accuracy, quality.accuracy_real) == (None, None)
    assert "teaches" not in only(Progress, made).note


async def test_without_a_test_split_the_figures_of_a_rehearsal_job_are_of_what_it_holds_out(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store, count=60)
    await store.replace(dataset.model_copy(update={"test": ()}))
    await add_job(store, rehearsal(options={"components": 1}))

    made = await fitted(resources)

    quality = (await store.get(Fitted, only(GeneratorFitted, made).fitted)).quality
    assert quality is not None
    assert (quality.accuracy, quality.accuracy_real) == (1, 1)


async def test_a_generator_that_cannot_sample_from_its_fit_fails_the_job(
    store: Store, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_dataset(store)
    await add_job(store, fit())
    gmm = generators.load("gmm")
    broken = replace(gmm, fit=lambda *_: Fit({"samples": np.zeros((0, 3), np.float32)}, 1.0))
    monkeypatch.setattr(generators, "load", lambda _: broken)

    assert of(GeneratorFitted, await fitted(resources)) == []

    assert "sampling from gmm once it was fitted: label 0" in (await job_now(store)).reason


async def test_only_the_classes_asked_for_are_fitted(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(store, fit(classes=("bee",)))

    await fitted(resources)

    assert (await store.get(Fitted, "gmm-j-1-1")).classes == ("bee",)


async def test_a_rehearsal_job_fits_on_its_new_data(store: Store, resources: Resources) -> None:
    await add_dataset(store, "new", ("cat",))
    await add_job(store, rehearsal(generator="original"))

    await fitted(resources, request("original"))

    kept = await store.get(Fitted, "original-j-1-1")
    assert (kept.data, kept.classes) == ("new", ("cat",))


async def test_what_a_rehearsal_job_holds_out_is_not_in_what_its_fit_keeps(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store, "new", ("cat",), count=40)
    asked = {"generator": "original", "options": {"compress": False}}
    spec = rehearsal(**asked, training={"validation": 0.25}, seed=3)
    await add_job(store, spec)

    await fitted(resources, request("original"))

    samples, labels = samples_of("cat", 40), np.zeros(40, np.int64)
    learned = ~held_out(samples, labels, 0.25, seed=3)
    kept = await store.get(Fitted, "original-j-1-1")
    state = unpack(await store.get_part(kept.digest))
    assert learned.sum() == 30
    np.testing.assert_array_equal(state["0/samples"], samples[learned])
    assert kept.reference is not None
    expected = Reference.of(Task(samples[learned], labels[learned], 1))
    assert await store.get_part(kept.reference.digest) == pack(expected.arrays())


@pytest.mark.parametrize(
    ("spec", "learned"),
    [
        (fit(), 120),
        (fit(options={"epsilon": 1}), 120),
        (rehearsal(), 108),
        (rehearsal(options={"epsilon": 1}), 120),
    ],
)
async def test_a_fit_that_is_its_own_job_and_a_private_one_learn_all(
    store: Store,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    spec: Spec,
    learned: int,
) -> None:
    await add_grey_dataset(store)
    await add_job(store, spec)
    gmm = generators.load("gmm")
    spied = Mock(side_effect=gmm.fit)
    monkeypatch.setattr(generators, "load", lambda _: replace(gmm, fit=spied))

    await fitted(resources)

    assert len(spied.call_args.args[0].labels) == learned


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": {"components": -1}}, "fitting gmm: option 'components' must be"),
        ({"data": "absent"}, "no Dataset 'absent'"),
        ({"classes": ("cat",)}, "no samples of cat"),
    ],
)
async def test_a_fit_that_cannot_be_done_fails_the_job(
    store: Store, resources: Resources, changes: dict[str, object], reason: str
) -> None:
    await add_dataset(store)
    await add_job(store, fit(**changes))

    assert of(GeneratorFitted, await fitted(resources)) == []

    job = await job_now(store)
    assert job.state == "failed"
    assert reason in job.reason
