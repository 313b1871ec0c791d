"""Labelling and filtering: which samples of a shard are kept, as what, and why the others are not."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from bus.stage import Stage
from learning.labels import correct
from learning.selection import Criteria, select
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
    """Keep what meets the filter, class by class; see learning/labels.py and learning/selection.py.

    The model has to confirm the class, or the sample goes, but for those of a class that it does not know and for those
    whose class is certain (workers/generation.py).
    """
    order, asked = message.order, job.rehearsal.filter
    is_known = order.target in message.classes
    target = message.classes.index(order.target) if is_known else None
    labels = None if target is None else _labels(job, message, target)
    selection = select(
        message.samples,
        message.probabilities,
        labels,
        Criteria(order.count, asked.min_confidence, asked.min_distance, message.certain),
    )
    kept = selection.kept
    if target is None or labels is None:
        confidence, counts = np.ones(len(kept), np.float32), {order.target: len(kept)}
    else:
        kept = _by_class(kept, labels, target)
        answers = message.probabilities[kept, labels[kept]]
        confidence = np.where(kept < message.certain, np.float32(1), answers)
        counts = _counts(labels[kept], message.classes, target)
    return SamplesLabelled(
        job=job.id,
        order=order,
        samples=message.samples[kept],
        probabilities=message.probabilities[kept],
        confidence=confidence,
        rejected={str(reason): count for reason, count in selection.rejected.items()},
        counts=counts,
    )


def _labels(job: Job, message: SamplesPredicted, target: int) -> NDArray[np.int64]:
    """Return each sample's class as a position in the model's, (n,): the target, unless the model corrects it.

    It is corrected only to a class that the job rehearses: of any other the few that come about would be all.
    """
    asked = job.rehearsal.labels
    labels = np.full(len(message.samples), target, np.int64)
    if asked.kind == "corrected":
        rehearsed = [label for label, name in enumerate(message.classes) if name in job.fitted]
        unsure = message.probabilities[message.certain :]
        labels[message.certain :] = correct(unsure, target, rehearsed, asked.min_correction)
    return labels


def _by_class(kept: NDArray[np.int64], labels: NDArray[np.int64], target: int) -> NDArray[np.int64]:
    """Return the indices such that each class lies together, the target first."""
    own = labels[kept]
    return kept[np.lexsort((own, own != target))]


def _counts(labels: NDArray[np.int64], classes: tuple[str, ...], target: int) -> dict[str, int]:
    """Return how many samples there are of the target and of each other class, as they lie."""
    others = [int(label) for label in np.unique(labels) if label != target]
    return {classes[label]: int(np.sum(labels == label)) for label in (target, *others)}
