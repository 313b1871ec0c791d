"""A candidate becomes a version, and the released one if its job's gates let it."""

import pytest

from schemas.documents import Model, ModelVersion
from schemas.flow import ModelReleased, ModelTrained
from schemas.message import Message
from schemas.model import PartRef, Scores
from schemas.names import work_of
from store.base import Store
from tests.workers.scene import (
    ABSENT,
    KNOWN,
    add_dataset,
    add_fitted,
    add_job,
    add_set,
    add_version,
    add_weights,
    is_there,
    job_now,
    of,
    only,
    plain,
    rehearsal,
    release,
    scores,
    sent,
)
from workers import releasing
from workers.releasing import stage
from workers.resources import Resources

RUN = "j-1.1"


async def candidate(
    store: Store,
    base: int | None = None,
    after: Scores | None = None,
    before: Scores | None = None,
) -> ModelTrained:
    return ModelTrained(
        job="j-1",
        base=base,
        architecture="dense3",
        classes=KNOWN,
        parts=await add_weights(store, work_of(RUN), 2),
        scores=after or scores(),
        before=before,
    )


async def released(resources: Resources, message: Message) -> list[Message]:
    return await sent(stage(resources), message)


async def pointed_at(store: Store) -> int | None:
    return (await store.get(Model, "m")).released


async def test_a_first_candidate_is_version_one_and_carries_its_parts(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(seed=7), state="releasing")

    out = only(ModelReleased, await released(resources, await candidate(store)))

    assert (out.key, out.manifest.version) == ("model.released.v1.m", 1)
    assert set(out.parts) == {part.digest for part in out.manifest.parts}
    job = await job_now(store)
    assert (job.state, job.result) == ("completed", "m@1")
    assert await pointed_at(store) == 1
    assert (await store.get(ModelVersion, "m@1")).status == "released"
    assert out.manifest.provenance.seed == 7


async def test_the_parts_outlive_the_job(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(store, plain(), state="releasing")
    message = await candidate(store)

    await released(resources, message)

    assert await store.drop_parts(work_of(RUN)) == 0  # the job's own claims are gone
    assert all([await is_there(store, part.digest) for part in message.parts])


async def test_provenance_says_what_it_was_made_of(store: Store, resources: Resources) -> None:
    dataset = await add_dataset(store)
    await add_fitted(store)
    kept = await add_set(store)
    await store.replace(kept.model_copy(update={"reviewer": "ada"}))
    fitted = dict.fromkeys(KNOWN, ("gmm-earlier",))
    await add_job(store, rehearsal(), state="releasing", fitted=fitted)

    out = only(ModelReleased, await released(resources, await candidate(store)))

    made_of = out.manifest.provenance
    assert (made_of.generator, made_of.fitted, made_of.reviewer) == ("gmm", ("gmm-earlier",), "ada")
    assert made_of.data_digests == tuple(part.digest for part in dataset.train)
    assert made_of.rehearsal_digests == tuple(part.digest for part in kept.parts)


async def test_data_that_was_replaced_since_is_not_said_to_be_what_it_was_made_of(
    store: Store, resources: Resources
) -> None:
    dataset = await add_dataset(store)
    pins = {"new": dataset.fingerprint}
    await add_job(store, plain(), state="releasing", data=pins)
    await store.replace(dataset.model_copy(update={"train": dataset.test}))

    assert of(ModelReleased, await released(resources, await candidate(store))) == []

    assert (await job_now(store)).reason.startswith("new: other data was added under this name")


async def test_a_repeat_is_the_same_version_and_the_same_release(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(), state="releasing")
    message = await candidate(store)
    first = only(ModelReleased, await released(resources, message))
    assert (await job_now(store)).state == "completed"

    again = only(ModelReleased, await released(resources, message))

    assert again == first
    assert len(await store.find(ModelVersion, model="m")) == 1


async def test_a_number_that_another_job_took_is_passed_over(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_version(store, 2)
    await add_version(store, 1)  # the newest by time, so that counting starts below the taken one
    await add_job(store, plain(), state="releasing", base=1)

    out = only(ModelReleased, await released(resources, await candidate(store, base=1)))

    assert out.manifest.version == 3
    assert (await store.get(ModelVersion, "m@2")).run != RUN


async def test_a_base_that_moved_on_is_not_overwritten(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_version(store, 2)
    await add_job(store, plain(), state="releasing", base=1)

    out = await released(resources, await candidate(store, base=1))

    assert of(ModelReleased, out) == []
    assert "m@2 was released meanwhile; `rdg job retry j-1`" in (await job_now(store)).reason
    assert await pointed_at(store) == 2


async def test_a_job_that_names_its_base_replaces_what_is_released(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_version(store, 2)
    await add_job(store, plain(base=1), state="releasing", base=1)

    await released(resources, await candidate(store, base=1))

    assert await pointed_at(store) == 3


@pytest.mark.parametrize("spec", [plain(), plain(base=1)])
async def test_a_repeat_that_comes_late_leaves_a_newer_release_alone(
    store: Store, resources: Resources, spec: object
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_job(store, plain(base=1), state="releasing", base=1)
    message = await candidate(store, base=1)
    await released(resources, message)
    await add_version(store, 3)

    out = await released(resources, message)

    assert of(ModelReleased, out) == []
    assert await pointed_at(store) == 3
    assert (await job_now(store)).state == "completed"


async def test_a_release_cut_short_that_others_built_on_is_completed_and_not_taken_back(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_version(store, 2, run=RUN, base=1, status="candidate")  # pointed to, never marked
    await add_version(store, 3, base=2)
    await add_job(store, plain(), state="releasing", base=1)

    out = await released(resources, await candidate(store, base=1))

    assert of(ModelReleased, out) == []
    assert await pointed_at(store) == 3
    assert (await store.get(ModelVersion, "m@2")).status == "released"
    assert (await job_now(store)).state == "completed"


@pytest.mark.parametrize(
    ("gates", "reason"),
    [
        ({"min_accuracy": 0.9}, "accuracy 0.800 is under the gate 0.9"),
        (
            {"max_forgetting": 0.2},
            "class ant fell by 0.300, over the gate 0.2; class bee was not measured: "
            "rehearse it, or name a probe that has it",
        ),
    ],
)
async def test_a_candidate_that_misses_a_gate_is_kept_but_not_released(
    store: Store, resources: Resources, gates: dict[str, float], reason: str
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_job(store, plain(gates=gates), state="releasing", base=1)
    message = await candidate(store, 1, scores(0.8, ant=0.6, bee=0.9), scores(0.95, ant=0.9))

    out = await released(resources, message)

    assert of(ModelReleased, out) == []
    version = await store.get(ModelVersion, "m@2")
    assert (version.status, version.reason) == ("refused", reason)
    assert (await job_now(store)).reason == f"m@2 was not released: {reason}"
    assert await pointed_at(store) == 1


async def test_a_gate_that_is_just_met_lets_pass(store: Store, resources: Resources) -> None:
    await add_dataset(store)
    await add_job(
        store, plain(gates={"min_accuracy": 0.8, "max_forgetting": 0.5}), state="releasing"
    )
    message = await candidate(store, None, scores(0.8, ant=0.5), scores(0.9, ant=1.0))

    assert only(ModelReleased, await released(resources, message)).manifest.version == 1


async def test_a_job_that_wants_no_release_keeps_its_candidate(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_job(store, plain(release=False), state="releasing", base=1)

    out = await released(resources, await candidate(store, base=1))

    assert of(ModelReleased, out) == []
    assert (await store.get(ModelVersion, "m@2")).status == "candidate"
    assert (await job_now(store)).result == "m@2"
    assert await pointed_at(store) == 1


async def test_parts_that_no_release_can_carry_are_refused_before_anything_points_to_them(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_version(store, 1)
    await add_job(store, plain(), state="releasing", base=1)
    message = await candidate(store, base=1)
    head = message.parts[1].model_copy(update={"size_bytes": releasing.RELEASE_BYTES})
    message = message.model_copy(update={"parts": (message.parts[0], head)})

    out = await released(resources, message)

    assert of(ModelReleased, out) == []
    job = await job_now(store)
    assert job.state == "failed"
    assert "of parts, a release carries 8388608" in job.reason
    assert await pointed_at(store) == 1
    assert (await store.get(ModelVersion, "m@2")).status == "candidate"


async def test_a_candidate_whose_parts_are_gone_fails_the_job(
    store: Store, resources: Resources
) -> None:
    await add_dataset(store)
    await add_job(store, plain(), state="releasing")
    lost = PartRef(name="head", digest=ABSENT, size_bytes=1)
    message = (await candidate(store)).model_copy(update={"parts": (lost,)})

    assert of(ModelReleased, await released(resources, message)) == []

    assert (await job_now(store)).state == "failed"


async def test_a_released_version_can_be_published_again(store: Store) -> None:
    version = await add_version(store, 1)
    await release(store, 1)

    once, twice = [await releasing.release_of(store, version) for _ in range(2)]

    assert once == twice
    assert once.manifest.created == version.created
