"""The model learns slice by slice, is scored beside the version that it came from, and refuses what does not fit."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from learning.bundle import pack, unpack
from learning.problem import Examples, Problem, validation_split
from learning.training import advance
from schemas.documents import Fitted, SamplePart
from schemas.flow import FittingRequested, ModelTrained, Progress, TrainingRequested
from schemas.job import Training
from schemas.message import Message
from store.base import Store
from tests.workers.scene import (
    ABSENT,
    ALL,
    KNOWN,
    add_dataset,
    add_job,
    add_set,
    add_version,
    job_now,
    of,
    only,
    plain,
    rehearsal,
    samples_of,
    sent,
)
from workers import fitting
from workers.resources import Resources
from workers.training import stage

QUICK = {"epochs": 3, "batch_size": 8, "validation": 0.25}


def asked(**changes: Any) -> dict[str, Any]:
    return {"architecture": "dense3", "training": QUICK, **changes}


async def trained(resources: Resources, message: TrainingRequested | None = None) -> list[Message]:
    return await sent(stage(resources), message or TrainingRequested(job="j-1"))


async def test_a_first_version_knows_the_classes_of_its_data(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(**asked()), state="training")

    made = await trained(resources)

    candidate = only(ModelTrained, made)
    assert (candidate.classes, candidate.base, candidate.before) == (KNOWN, None, None)
    assert (candidate.architecture, candidate.scores.measured_on) == ("dense3", "validation")
    assert [part.name for part in candidate.parts] == ["backbone", "head"]
    head = unpack(await store.get_part(candidate.parts[1].digest))
    assert head["head.weight"].shape == (2, 3)
    assert only(Progress, made).done == 100
    assert (await job_now(store)).state == "releasing"


async def test_training_in_slices_gives_the_same_weights(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(**asked()), state="training")
    whole = only(ModelTrained, await trained(resources))

    hasty, said, count = replace(resources, slice_s=0), list[Message](), 0
    message = TrainingRequested(job="j-1")
    while not of(ModelTrained, said):
        said = await trained(hasty, message)
        message, count = (of(TrainingRequested, said) or [message])[0], count + 1

    assert count > 3
    assert only(ModelTrained, said) == whole


@pytest.mark.parametrize("name", ["new", "probe"])
async def test_data_that_was_replaced_since_the_job_was_planned_fails_it(
    store: Store, resources: Resources, name: str
) -> None:
    data = {key: await add_dataset(store, key) for key in ("new", "probe")}
    pins = {key: dataset.fingerprint for key, dataset in data.items()}
    await add_job(store, plain(probe="probe", **asked()), state="training", data=pins)
    swapped = {"train": data[name].test, "test": data[name].train}
    await store.replace(data[name].model_copy(update=swapped))

    assert of(ModelTrained, await trained(resources)) == []

    job = await job_now(store)
    assert job.state == "failed"
    assert job.reason.startswith(f"{name}: other data was added under this name")


async def test_a_superseded_slice_does_nothing(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(store, plain(**asked()), state="training")

    late = TrainingRequested(job="j-1", slice=3, checkpoint=ABSENT)

    assert await trained(resources, late) == []
    assert (await job_now(store)).state == "training"


async def test_new_classes_are_added_after_the_known_and_scored_beside_the_base(
    store: Store, resources: Resources
) -> None:
    await add_version(store)
    await add_dataset(store, "new", ("cat",))
    await add_dataset(store, "probe", ("cat", "ant"))
    await add_set(store)
    fitted = dict.fromkeys(KNOWN, "gmm-earlier")
    spec = rehearsal(probe="probe", **asked(architecture=None))
    await add_job(store, spec, state="training", base=1, fitted=fitted)

    candidate = only(ModelTrained, await trained(resources))

    assert candidate.classes == ("ant", "bee", "cat")
    assert (candidate.base, candidate.scores.measured_on) == (1, "probe")
    assert set(candidate.scores.per_class) == {"cat", "ant"}
    assert candidate.before is not None
    assert candidate.before.per_class == {"ant": 1.0}  # the base does not know the other


async def test_what_training_holds_out_the_generator_has_not_seen(
    store: Store, resources: Resources
) -> None:
    await add_version(store)
    await add_dataset(store, "new", ("cat", "ant"), count=40)  # 0 and 1 here, 2 and 0 in the model
    await add_set(store)
    spec = rehearsal(generator="original", options={"compress": False}, **asked(architecture=None))
    chosen = dict.fromkeys(KNOWN, "gmm-earlier")
    await add_job(store, spec, state="training", base=1, fitted=chosen)

    await sent(fitting.stage(resources), FittingRequested(job="j-1", generator="original"))
    with patch("learning.training.advance", wraps=advance) as spied:
        only(ModelTrained, await trained(resources))

    problem, _, options, seed, _ = spied.call_args.args
    split = validation_split(problem, options, seed)
    held = problem.new.take(split.validation_new)
    fit = await store.get(Fitted, "original-j-1-1")
    kept = unpack(await store.get_part(fit.digest))
    assert np.bincount(held.labels).tolist() == [10, 0, 10]
    for label, name in enumerate(fit.classes):
        of_class = held.samples[held.labels == ALL.index(name)]
        assert len(kept[f"{label}/samples"]) == 30
        assert not (kept[f"{label}/samples"][:, None] == of_class).all(axis=2).any()


async def test_training_that_was_begun_by_an_earlier_release_is_refused(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(**asked()), state="training")
    made = await trained(replace(resources, slice_s=0))
    goes_on = only(TrainingRequested, made)
    assert goes_on.checkpoint is not None
    checkpoint = unpack(await store.get_part(goes_on.checkpoint))
    checkpoint.pop("split")
    earlier = await store.put_part(pack(checkpoint), "work/j-1.1")

    await trained(resources, goes_on.model_copy(update={"checkpoint": earlier}))

    job = await job_now(store)
    assert (job.state, job.reason) == (
        "failed",
        "training: checkpoint: 'split' is missing, begin anew",
    )


async def examples_of(store: Store, resources: Resources, **asked_for: Any) -> Examples:
    """The rehearsal examples of a job whose set has the model's answers."""
    await add_version(store)
    await add_dataset(store, "new", ("cat",))
    parts = [await add_answered(store, name) for name in KNOWN]
    kept = await add_set(store)
    await store.replace(kept.model_copy(update={"parts": tuple(parts)}))
    fitted = dict.fromkeys(KNOWN, "gmm-earlier")
    spec = rehearsal(**asked(architecture=None), **asked_for)
    await add_job(store, spec, state="training", base=1, fitted=fitted)
    with patch("learning.training.advance", wraps=advance) as spied:
        only(ModelTrained, await trained(resources))
    problem: Problem = spied.call_args.args[0]
    return problem.replay


async def add_answered(store: Store, target: str) -> SamplePart:
    """Store twelve samples that the model takes for the target with 0.75, but for one."""
    answers = np.full((12, 2), 0.25, np.float32)
    answers[:, KNOWN.index(target)] = 0.75
    answers[0] = answers[0, ::-1]
    data = pack({"samples": samples_of(target, 12), "probabilities": answers})
    digest = await store.put_part(data, "set/j-1.1")
    return SamplePart(target=target, count=12, digest=digest, size_bytes=len(data))


@pytest.mark.parametrize("kind", ["hard", "corrected"])
async def test_the_class_of_a_part_is_taught(store: Store, resources: Resources, kind: str) -> None:
    rehearsed = await examples_of(store, resources, labels={"kind": kind})
    assert rehearsed.soft is None
    assert rehearsed.labels.tolist() == [0] * 12 + [1] * 12


async def test_soft_labels_mix_in_what_the_model_answered(
    store: Store, resources: Resources
) -> None:
    rehearsed = await examples_of(store, resources, labels={"kind": "soft", "soft_weight": 0.8})

    assert rehearsed.soft is not None
    assert rehearsed.soft.shape == (24, 3)
    np.testing.assert_allclose(rehearsed.soft[1], [0.8, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(rehearsed.soft[23], [0.2, 0.8, 0], atol=1e-6)
    np.testing.assert_allclose(rehearsed.soft[0], [1, 0, 0])  # the model is wrong about it
    assert rehearsed.teacher is None


async def test_every_option_asked_for_reaches_the_training(
    store: Store, resources: Resources
) -> None:
    wanted = {
        "epochs": 2,
        "batch_size": 7,
        "lr": 0.02,
        "schedule": "cosine",
        "augmentation": "none",
        "replay_ratio": 0.3,
        "new_loss": "all",
        "distillation": 0.5,
        "validation": 0.3,
        "patience": 4,
        "calibration": "bias",
    }
    assert wanted.keys() == Training.model_fields.keys()
    await add_version(store)
    await add_dataset(store, "new", ("cat",))
    await add_job(store, plain(training=wanted), state="training", base=1)

    with patch("learning.training.advance", wraps=advance) as spied:
        only(ModelTrained, await trained(resources))

    reached = spied.call_args.args[2]
    assert {name: getattr(reached, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training": {"augmentation": "shift"}}, "training: augmentation: 'shift' is for images"),
        ({"new_data": "absent"}, "no Dataset 'absent'"),
        ({"new_classes": ("cat",)}, "no samples of cat"),
        ({"architecture": "dense3 pool"}, "'pool'"),
        ({"probe": "other"}, "no samples of ant, bee"),
    ],
)
async def test_training_that_cannot_be_done_fails_the_job(
    store: Store, resources: Resources, changes: dict[str, Any], reason: str
) -> None:
    await add_dataset(store)
    await add_dataset(store, "other", ("cat",))
    await add_job(store, plain(**asked(**changes)), state="training")

    assert of(ModelTrained, await trained(resources)) == []

    job = await job_now(store)
    assert job.state == "failed"
    assert reason in job.reason


async def test_data_of_another_shape_than_the_base_is_refused(
    store: Store, resources: Resources
) -> None:
    await add_version(store, shape=(4,))
    await add_dataset(store)
    await add_job(store, plain(**asked()), state="training", base=1)

    await trained(resources)

    expected = "new_data: new has float32 samples of (3,), m@1 takes float32 of (4,)"
    assert (await job_now(store)).reason == expected


async def test_too_little_data_to_score_on_is_refused(store: Store, resources: Resources) -> None:
    await add_dataset(store, count=1)
    await add_job(store, plain(**asked()), state="training")

    await trained(resources)

    assert "name a probe" in (await job_now(store)).reason
