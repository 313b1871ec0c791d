"""The samples of one shard, at once or by a search."""

from typing import Any

import numpy as np
import pytest

from learning.bundle import unpack
from learning.generators import load
from learning.generators.base import Task
from schemas.documents import Fitted, Job
from schemas.flow import (
    GenerationRequested,
    Order,
    PopulationProposed,
    PopulationScored,
    SamplesGenerated,
)
from schemas.message import Message
from store.base import Store
from tests.workers.scene import (
    KNOWN,
    add_fitted,
    add_job,
    job_now,
    of,
    only,
    order,
    rehearsal,
    samples_of,
    sent,
)
from workers.generation import stage
from workers.resources import Resources

BOUNDS = np.array([-1, 2], np.float32)


@pytest.fixture(autouse=True)
async def _job(store: Store) -> None:
    real = {f"{label}/samples": samples_of(name, 8) for label, name in enumerate(KNOWN)}
    start = {f"{label}/start": np.tile(BOUNDS[:, None], 3) for label in range(2)}
    search = {"samples": samples_of("ant", 0), "range": BOUNDS, **start}
    await add_fitted(store, "original-1", state=dict(real), generator="original")
    await add_fitted(store, "ga-1", state=search, generator="ga")
    await add_job(store, rehearsal(), state="generating")


def from_stored(target: str = "ant", fitted: str = "original-1", **changes: Any) -> Order:
    return order(target, generator="original", fitted=fitted, **changes)


def from_search(**options: object) -> Order:
    return order(count=2, generator="ga", fitted="ga-1", options={"population": 4, **options})


async def generated(resources: Resources, asked: Order) -> list[Message]:
    return await sent(stage(resources), GenerationRequested(job="j-1", order=asked))


async def test_stored_originals_are_of_the_class_asked_for_and_trusted(
    resources: Resources,
) -> None:
    made = only(SamplesGenerated, await generated(resources, from_stored(target="bee")))

    assert made.certain == 5
    assert made.samples.shape == (5, 3)
    assert (made.samples.argmax(axis=1) == KNOWN.index("bee")).all()


@pytest.mark.parametrize(("fitted", "is_certain"), [("gmm-j-1-1", True), ("gmm-earlier", False)])
async def test_the_model_has_no_say_about_samples_of_the_jobs_own_fit(
    store: Store, resources: Resources, fitted: str, is_certain: bool
) -> None:
    real = np.concatenate([samples_of(name, 8) for name in KNOWN])
    task = Task(real, np.repeat(np.arange(len(KNOWN)), 8), len(KNOWN))
    fit = load("gmm").fit(task, {}, 0, None, lambda: False)
    await add_fitted(store, fitted, state=dict(fit.state))

    made = only(SamplesGenerated, await generated(resources, order(fitted=fitted)))

    assert made.certain == (len(made.samples) if is_certain else 0)


async def test_what_a_search_finds_is_never_certain(store: Store, resources: Resources) -> None:
    state = unpack(await store.get_part((await store.get(Fitted, "ga-1")).digest))
    await add_fitted(store, "ga-j-2-1", state=dict(state), generator="ga")
    spec = rehearsal(generator="ga")
    await store.insert(Job(id="j-2", token="u", model="m", spec=spec, state="generating"))
    asked = from_search(generations=1).model_copy(update={"fitted": "ga-j-2-1"})
    proposed = only(
        PopulationProposed,
        await sent(stage(resources), GenerationRequested(job="j-2", order=asked)),
    )
    fitness = np.ones(len(proposed.samples), np.float32)
    scored = PopulationScored(
        job="j-2", order=asked, samples=proposed.samples, generation=1, fitness=fitness
    )
    assert only(SamplesGenerated, await sent(stage(resources), scored)).certain == 0


async def test_the_same_order_gives_the_same_bytes_and_another_seed_others(
    resources: Resources,
) -> None:
    first, again, other = [
        only(SamplesGenerated, await generated(resources, asked)).samples.tobytes()
        for asked in (from_stored(), from_stored(), from_stored(seed=2))
    ]

    assert first == again != other


async def test_a_search_asks_the_model_until_it_is_done(resources: Resources) -> None:
    asked = from_search(generations=3)
    said = await generated(resources, asked)

    for generation in (1, 2, 3):
        proposed = only(PopulationProposed, said)
        assert (proposed.generation, proposed.samples.shape) == (generation, (8, 3))
        scored = PopulationScored(
            job="j-1",
            order=asked,
            samples=proposed.samples,
            generation=proposed.generation,
            fitness=np.linspace(0, 0.5, 8, dtype=np.float32),
        )
        said = await sent(stage(resources), scored)

    made = only(SamplesGenerated, said)
    assert len(made.samples) == 2
    assert made.certain == 0


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            from_stored(options={"budgett": 1}),
            "generating with original: option 'budgett' is unknown",
        ),
        (from_stored(fitted="absent"), "no Fitted 'absent'"),
    ],
)
async def test_an_order_that_cannot_be_met_fails_the_job(
    store: Store, resources: Resources, asked: Order, reason: str
) -> None:
    assert of(SamplesGenerated, await generated(resources, asked)) == []

    job = await job_now(store)
    assert job.state == "failed"
    assert reason in job.reason


async def test_scores_for_a_generator_that_does_not_search_fail_the_job(
    store: Store, resources: Resources
) -> None:
    samples = samples_of("ant", 2)
    scored = PopulationScored(
        job="j-1",
        order=from_stored(),
        samples=samples,
        generation=1,
        fitness=np.ones(2, np.float32),
    )

    await sent(stage(resources), scored)

    assert "original does not search, yet it got scores" in (await job_now(store)).reason
