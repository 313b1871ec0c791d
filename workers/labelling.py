"""Labelling and filtering: which samples of a shard are kept, and why the others are not."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from bus.stage import Stage
from learning.selection import select
from schemas.documents import Job
from schemas.flow import Progress, SamplesLabelled, SamplesPredicted
from workers.resources import Resources

Out = SamplesLabelled | Progress


def stage(resources: Resources) -> Stage[SamplesPredicted, Out]:
    """Return the labelling stage."""

    async def handle(job: Job, message: SamplesPredicted) -> AsyncIterator[Out]:
        yield await asyncio.to_thread(_label, job, message)

    return Stage(
        "labelling",
        consumes=(SamplesPredicted,),
        produces=(SamplesLabelled, Progress),
        handle=resources.on_jobs("labelling", handle),
    )


def _label(job: Job, message: SamplesPredicted) -> SamplesLabelled:
    """Keep what the model takes for the target with enough confidence; see learning/selection.py.

    The label is the generator's class: the model confirms it, or the sample goes. A class that the model does not
    know yet cannot be confirmed and counts as certain, as stored originals do.
    """
    order, classes = message.order, message.classes
    target = classes.index(order.target) if order.target in classes else None
    selection = select(
        message.probabilities,
        target,
        message.samples,
        order.count,
        job.rehearsal.filter.min_confidence,
        message.trusted,
    )
    probabilities = message.probabilities[selection.kept]
    confidence = (
        np.ones(len(probabilities), np.float32) if target is None else probabilities[:, target]
    )
    return SamplesLabelled(
        job=job.id,
        order=order,
        samples=message.samples[selection.kept],
        probabilities=probabilities,
        confidence=np.ascontiguousarray(confidence),
        rejected={str(reason): count for reason, count in selection.rejected.items()},
    )
