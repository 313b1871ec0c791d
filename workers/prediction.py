"""Prediction: what the deployed model makes of samples. The same arithmetic as on a device, without torch."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus.stage import Stage
from schemas.documents import Job
from schemas.flow import (
    PopulationProposed,
    PopulationScored,
    Progress,
    SamplesGenerated,
    SamplesPredicted,
)
from store.base import Store
from workers.models import load_model
from workers.resources import Resources

In = SamplesGenerated | PopulationProposed
Out = SamplesPredicted | PopulationScored | Progress


def stage(resources: Resources) -> Stage[In, Out]:
    """Return the prediction stage."""

    async def handle(job: Job, message: In) -> AsyncIterator[Out]:
        classes, probabilities = await _predict(resources.store, job, message.samples)
        if isinstance(message, PopulationProposed):
            yield _scored(message, classes, probabilities)
        else:
            yield SamplesPredicted(
                job=job.id,
                order=message.order,
                samples=message.samples,
                certain=message.certain,
                classes=classes,
                probabilities=probabilities,
            )

    return Stage(
        "prediction",
        consumes=(SamplesGenerated, PopulationProposed),
        produces=(SamplesPredicted, PopulationScored, Progress),
        handle=resources.on_jobs("prediction", handle),
    )


async def _predict(
    store: Store, job: Job, samples: NDArray[Any]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the model's classes, and (n, classes) probabilities; none of either before a first version."""
    if job.base is None:
        return (), np.zeros((len(samples), 0), np.float32)
    model = await load_model(store, job.model, job.base)
    return model.version.classes, await asyncio.to_thread(model.predict, samples)


def _scored(
    message: PopulationProposed, classes: tuple[str, ...], probabilities: NDArray[np.float32]
) -> PopulationScored:
    """Return the population with its fitness: the confidence in the target (Vora et al., section 2.3).

    A class that the model does not know yet has no fitness to go by: every sample is equally fit.
    """
    target = message.order.target
    if target in classes:
        fitness = np.ascontiguousarray(probabilities[:, classes.index(target)])
    else:
        fitness = np.zeros(len(message.samples), np.float32)
    return PopulationScored(
        job=message.job,
        order=message.order,
        samples=message.samples,
        generation=message.generation,
        fitness=fitness,
    )
