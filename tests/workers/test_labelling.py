"""Which samples of a shard are kept, and the reasons against the others."""

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.flow import SamplesLabelled, SamplesPredicted
from store.base import Store
from tests.workers.scene import KNOWN, add_job, only, order, rehearsal, samples_of, sent
from workers.labelling import stage
from workers.resources import Resources

SURE_OF_ANT, SURE_OF_BEE, LIKELY_BEE = [0.95, 0.05], [0.05, 0.95], [0.4, 0.6]


async def labelled(
    resources: Resources,
    probabilities: list[list[float]],
    samples: NDArray[np.float32] | None = None,
    count: int = 10,
    classes: tuple[str, ...] = KNOWN,
    certain: int = 0,
) -> SamplesLabelled:
    """What becomes of a shard of ants that the model sees like this."""
    message = SamplesPredicted(
        job="j-1",
        order=order("ant", count),
        samples=samples_of("ant", len(probabilities)) if samples is None else samples,
        certain=certain,
        classes=classes,
        probabilities=np.array(probabilities, np.float32).reshape(len(probabilities), len(classes)),
    )
    return only(SamplesLabelled, await sent(stage(resources), message))


async def test_every_sample_is_kept_or_counted_under_one_reason(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(filter={"min_confidence": 0.7}))
    samples = samples_of("ant", 7)
    samples[1] = samples[0]
    samples[2, 0] = np.nan
    sure, unsure, other = [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]

    said = await labelled(
        resources, [sure, sure, sure, unsure, other, sure, sure], samples, count=2
    )

    assert said.rejected == {
        "not finite": 1,
        "duplicate": 1,
        "other class": 1,
        "low confidence": 1,
        "near duplicate": 0,
        "surplus": 1,
    }
    assert len(said.samples) + sum(said.rejected.values()) == 7
    np.testing.assert_array_equal(said.samples, samples[[0, 5]])


async def test_confidence_is_the_one_in_the_class_asked_for(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(filter={"min_confidence": 0.7}))

    said = await labelled(resources, [[0.9, 0.1], [0.8, 0.2]])

    np.testing.assert_allclose(said.confidence, [0.9, 0.8], rtol=1e-6)
    assert said.probabilities.shape == (2, 2)


async def test_a_class_that_the_model_does_not_know_is_kept_whole(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(filter={"min_confidence": 1.0}))

    said = await labelled(resources, [[0.9, 0.1], [0.1, 0.9]], classes=("bee", "cat"))

    assert len(said.samples) == 2
    assert said.confidence.tolist() == [1, 1]


async def test_certain_samples_are_neither_confirmed_nor_corrected_but_filtered(
    store: Store, resources: Resources
) -> None:
    spec = rehearsal(
        labels={"kind": "corrected"}, filter={"min_confidence": 1.0, "min_distance": 0.5}
    )
    await add_job(store, spec, fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)))
    samples = np.array([[1, 0, 0], [3, 0, 0], [3, 0.1, 0], [3, 0, 0], [5, 0, 0]], np.float32)

    said = await labelled(resources, [SURE_OF_BEE] * 5, samples, count=2, certain=5)

    assert said.counts == {"ant": 2}
    np.testing.assert_array_equal(said.samples, samples[:2])
    assert said.confidence.tolist() == [1, 1]
    found = {reason: count for reason, count in said.rejected.items() if count}
    assert found == {"duplicate": 1, "near duplicate": 1, "surplus": 1}


async def test_before_a_first_version_all_are_kept(store: Store, resources: Resources) -> None:
    await add_job(store, rehearsal(filter={"min_confidence": 1.0}))

    said = await labelled(resources, [[], []], classes=())

    assert len(said.samples) == 2
    assert said.probabilities.shape == (2, 0)


async def test_the_model_is_not_asked_about_stored_originals(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(filter={"min_confidence": 1.0}))

    said = await labelled(resources, [[0.1, 0.9], [0.2, 0.8]], certain=2)

    assert len(said.samples) == 2
    assert said.confidence.tolist() == [1, 1]


@pytest.mark.parametrize("labels", ["hard", "corrected"])
async def test_the_model_is_asked_about_those_alone_that_are_not_certain(
    store: Store, resources: Resources, labels: str
) -> None:
    spec = rehearsal(filter={"min_confidence": 0.9}, labels={"kind": labels})
    await add_job(store, spec, fitted={"ant": ("gmm-earlier",)})

    said = await labelled(resources, [SURE_OF_BEE, SURE_OF_BEE, SURE_OF_ANT], certain=1)

    assert said.counts == {"ant": 2}
    np.testing.assert_allclose(said.confidence, [1, 0.95], rtol=1e-6)
    assert said.rejected["other class"] == 1


async def test_those_alone_that_are_not_certain_are_corrected(
    store: Store, resources: Resources
) -> None:
    await add_job(
        store,
        rehearsal(labels={"kind": "corrected"}),
        fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)),
    )

    said = await labelled(resources, [SURE_OF_BEE, SURE_OF_BEE], certain=1)

    assert said.counts == {"ant": 1, "bee": 1}


async def test_a_shard_of_which_nothing_is_left_is_still_a_shard(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal())

    said = await labelled(resources, [[0.1, 0.9], [0.2, 0.8]])

    assert said.samples.shape == (0, 3)
    assert said.rejected["other class"] == 2


async def test_a_sample_that_is_surely_of_another_class_becomes_one_of_it(
    store: Store, resources: Resources
) -> None:
    spec = rehearsal(labels={"kind": "corrected", "min_correction": 0.9})
    await add_job(store, spec, fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)))
    samples = samples_of("ant", 4)

    said = await labelled(
        resources, [SURE_OF_BEE, SURE_OF_ANT, LIKELY_BEE, SURE_OF_ANT], samples, count=9
    )

    assert said.counts == {"ant": 2, "bee": 1}
    np.testing.assert_array_equal(said.samples, samples[[1, 3, 0]])
    np.testing.assert_allclose(said.confidence, [0.95, 0.95, 0.95], rtol=1e-6)
    np.testing.assert_allclose(said.probabilities[2], SURE_OF_BEE, rtol=1e-6)
    assert said.rejected["other class"] == 1
    assert len(said.samples) + sum(said.rejected.values()) == 4


async def test_all_may_be_of_another_class(store: Store, resources: Resources) -> None:
    spec = rehearsal(labels={"kind": "corrected"})
    await add_job(store, spec, fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)))

    said = await labelled(resources, [SURE_OF_BEE, SURE_OF_BEE])

    assert said.counts == {"ant": 0, "bee": 2}


async def test_nothing_is_corrected_to_a_class_that_the_job_does_not_rehearse(
    store: Store, resources: Resources
) -> None:
    spec = rehearsal(labels={"kind": "corrected"})
    await add_job(store, spec, fitted={"ant": ("gmm-earlier",)})

    said = await labelled(resources, [SURE_OF_BEE, SURE_OF_ANT])

    assert said.counts == {"ant": 1}
    assert said.rejected["other class"] == 1


@pytest.mark.parametrize("kind", ["hard", "soft"])
async def test_nothing_is_corrected_unasked(store: Store, resources: Resources, kind: str) -> None:
    spec = rehearsal(labels={"kind": kind})
    await add_job(store, spec, fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)))

    said = await labelled(resources, [SURE_OF_BEE, SURE_OF_ANT])

    assert said.counts == {"ant": 1}
    assert said.rejected["other class"] == 1


async def test_stored_originals_are_not_corrected(store: Store, resources: Resources) -> None:
    spec = rehearsal(labels={"kind": "corrected"})
    await add_job(store, spec, fitted=dict.fromkeys(KNOWN, ("gmm-earlier",)))

    said = await labelled(resources, [SURE_OF_BEE], certain=1)

    assert said.counts == {"ant": 1}


async def test_samples_that_crowd_each_other_are_thinned(
    store: Store, resources: Resources
) -> None:
    await add_job(store, rehearsal(filter={"min_distance": 0.5}))
    samples = np.array([[1, 0, 0], [1, 0.1, 0], [3, 0, 0]], np.float32)

    said = await labelled(resources, [SURE_OF_ANT] * 3, samples)

    np.testing.assert_array_equal(said.samples, samples[[0, 2]])
    assert said.rejected["near duplicate"] == 1
