"""Generation: samples of one shard, at once or by a search that asks the deployed model."""

import asyncio
from collections.abc import AsyncIterator

from bus.stage import Stage
from learning import generators
from learning.bundle import unpack
from learning.generators.base import Batch, Generator, Order, Population
from schemas.documents import Fitted, Job
from schemas.flow import (
    GenerationRequested,
    PopulationProposed,
    PopulationScored,
    Progress,
    SamplesGenerated,
)
from store.base import Store
from workers.resources import Refusal, Resources

In = GenerationRequested | PopulationScored
Out = SamplesGenerated | PopulationProposed | Progress


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the generation stage."""

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        generator = generators.load(message.order.generator)
        order = await _order(resources.store, message)
        made = await asyncio.to_thread(_step, generator, order, message)
        if isinstance(made, Population):
            yield PopulationProposed(
                job=job.id,
                order=message.order,
                samples=made.samples,
                generation=made.generation,
            )
        else:
            yield SamplesGenerated(
                job=job.id,
                order=message.order,
                samples=made.samples,
                certain=_certain(job, message, generator, made),
            )

    return Stage(
        "generation",
        consumes=(GenerationRequested, PopulationScored),
        produces=(SamplesGenerated, PopulationProposed, Progress),
        handle=resources.on_jobs("generation", handle),
        routes=resources.generators,
    )


async def _order(store: Store, message: In) -> Order:
    """Return the message's order with the fitted generator's state."""
    asked = message.order
    fitted = await store.get(Fitted, asked.fitted)
    state = unpack(await store.get_part(fitted.digest))
    label = fitted.classes.index(asked.target)
    return Order(
        state, label, asked.count, asked.seed, asked.options, asked.start, asked.common_seed
    )


def _certain(job: Job, message: In, generator: Generator, made: Batch) -> int:
    """Return of how many samples, the first, the deployed model has no say about the class.

    It has none of stored originals, nor of what the job's own fit drew: that is new to the model, which may know the
    class by other looks alone, and its labels are as certain as the new data's. A search needs the model to find any.
    """
    is_own = message.order.fitted == job.own_fit and generator.evolve is None
    return len(made.samples) if is_own else made.certain


def _step(generator: Generator, order: Order, message: In) -> Batch | Population:
    try:
        if isinstance(message, GenerationRequested):
            generator.validate(order.options)
            return generator.sample(order)
        if generator.evolve is None:
            raise Refusal(f"generator {generator.name} does not search, yet it got scores")
        population = Population(message.samples, message.generation)
        return generator.evolve(order, population, message.fitness)
    except ValueError as error:
        raise Refusal(f"generating with {generator.name}: {error}") from error
