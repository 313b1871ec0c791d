"""What the deployed model makes of samples, and what stands in before there is one."""

import numpy as np

from learning.inference import predict
from schemas.flow import PopulationProposed, PopulationScored, SamplesGenerated, SamplesPredicted
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_job,
    add_version,
    job_now,
    only,
    order,
    rehearsal,
    samples_of,
    sent,
    weights_of,
)
from workers.prediction import stage
from workers.resources import Resources


def shard(target: str) -> SamplesGenerated:
    return SamplesGenerated(
        job="j-1", order=order(target), samples=samples_of(target, 4), certain=3
    )


def population(target: str) -> PopulationProposed:
    mixed = np.concatenate([samples_of("ant", 3), samples_of("bee", 3)])
    return PopulationProposed(job="j-1", order=order(target), samples=mixed, generation=7)


async def test_a_shard_gets_the_probabilities_of_the_job_base(
    store: Store, resources: Resources
) -> None:
    await add_version(store, 1)
    await add_version(store, 2, classes=("ant",))
    await add_job(store, rehearsal(), base=1)

    said = only(SamplesPredicted, await sent(stage(resources), shard("bee")))

    assert (said.classes, said.certain) == (KNOWN, 3)
    assert (said.probabilities.argmax(axis=1) == KNOWN.index("bee")).all()
    expected = predict("dense3", weights_of(2), shard("bee").samples)
    np.testing.assert_array_equal(said.probabilities, expected)


async def test_before_a_first_version_there_are_no_classes(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal())

    said = only(SamplesPredicted, await sent(stage(resources), shard("ant")))

    assert said.classes == ()
    assert said.probabilities.shape == (4, 0)


async def test_fitness_is_the_confidence_in_the_class_asked_for(
    store: Store, resources: Resources
) -> None:
    await add_version(store)
    await add_job(store, rehearsal(), base=1)

    said = only(PopulationScored, await sent(stage(resources), population("bee")))

    assert said.generation == 7
    assert (said.fitness[:3] < 0.5).all()
    assert (said.fitness[3:] > 0.5).all()


async def test_a_class_that_the_model_does_not_know_makes_all_equally_fit(
    store: Store, resources: Resources
) -> None:
    await add_version(store)
    await add_job(store, rehearsal(), base=1)

    said = only(PopulationScored, await sent(stage(resources), population("cat")))

    assert said.fitness.tolist() == [0] * 6


async def test_a_base_that_was_deleted_fails_the_job(store: Store, resources: Resources) -> None:
    await add_job(store, rehearsal(), base=1)

    await sent(stage(resources), shard("ant"))

    assert (await job_now(store)).reason == "no ModelVersion 'm@1' in the store"
