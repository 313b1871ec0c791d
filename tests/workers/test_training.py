"""The model learns slice by slice, is scored beside the version that it came from, and refuses what does not fit."""

from dataclasses import replace
from typing import Any

import pytest

from learning.bundle import unpack
from schemas.flow import ModelTrained, Progress, TrainingRequested
from schemas.message import Message
from store.base import Store
from tests.workers.scene import (
    ABSENT,
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
    sent,
)
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
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
