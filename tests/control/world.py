"""A small installation to try verbs on: data of 4 x 4 pixels, a released model, a fitted generator, a job."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from bus.transport import Queue, Topology
from control.sources import Labelled, Splits
from control.verbs import datasets
from schemas.documents import (
    Device,
    Fitted,
    Job,
    JobState,
    Model,
    ModelVersion,
    Monitor,
    RehearsalSet,
)
from schemas.flow import RehearsalRequested, ReviewDecided
from schemas.job import RehearsalSpec
from schemas.model import GeneratorQuality, Likeness, PartRef, Provenance, Scores
from schemas.monitoring import MonitorPolicy
from store.base import Store

OLD = tuple("01234")
NEW = tuple("56789")
JOB = "j-1a2b3c4d5e6f"
LETTER = UUID("6f1c0f5e-1d0b-5c55-8f0e-3b8d0d7c9a11")
DIGEST = "0" * 64
REQUESTS = f"planning.{RehearsalRequested.topic}"
DECISIONS = f"review.{ReviewDecided.topic}"
QUEUES = Topology(
    (Queue(REQUESTS, RehearsalRequested.topic), Queue(DECISIONS, ReviewDecided.topic))
)


def labelled(classes: Sequence[str], per_class: int = 3, side: int = 4) -> Labelled:
    """Make images whose pixels tell their place, so that no two data sets are alike by accident."""
    count = len(classes) * per_class
    samples = np.arange(count * side * side, dtype=np.uint64) * 7 % 251
    labels = np.arange(count, dtype=np.int64) % len(classes)
    return Labelled(samples.astype(np.uint8).reshape(count, side, side), labels, tuple(classes))


def splits(classes: Sequence[str], per_class: int = 3, side: int = 4) -> Splits:
    """Make a training and a test split."""
    return Splits(labelled(classes, per_class, side), labelled(classes, 1, side))


def rehearsal(**fields: Any) -> RehearsalSpec:
    """A specification that fits the world."""
    return RehearsalSpec.model_validate({"model": "digits", "new_data": "five-to-nine"} | fields)


def version(number: int = 1, **fields: Any) -> ModelVersion:
    """A version of the model `digits`."""
    described = {
        "id": f"digits@{number}",
        "model": "digits",
        "number": number,
        "run": f"j-made-{number}.1",
        "architecture": "dense8",
        "shape": (4, 4),
        "dtype": "uint8",
        "classes": OLD,
        "parts": (PartRef(name="head", digest=DIGEST, size_bytes=8),),
        "scores": Scores(measured_on="validation", accuracy=0.9, per_class={"0": 0.9}),
        "provenance": Provenance(job=f"j-made-{number}", seed=0, code_version="0.1.0"),
        "status": "released",
    }
    return ModelVersion.model_validate(described | fields)


def fitted(**fields: Any) -> Fitted:
    """A generator of the old classes."""
    described = {
        "id": "gmm-j-made-1",
        "model": "digits",
        "job": "j-made-1",
        "generator": "gmm",
        "data": "zero-to-four",
        "shape": (4, 4),
        "dtype": "uint8",
        "classes": OLD,
        "options": {},
        "seed": 0,
        "digest": DIGEST,
        "size_bytes": 8,
        "reference": PartRef(name="reference", digest=DIGEST, size_bytes=4),
        "quality": GeneratorQuality(
            accuracy=0.93,
            accuracy_real=0.95,
            distance=0.4,
            distance_real=0.5,
            copies=0.9,
            copies_real=0.05,
            memorises=True,
        ),
    }
    return Fitted.model_validate(described | fields)


def job(state: JobState, key: str = JOB, **fields: Any) -> Job:
    """A rehearsal job in some state; under review, a person has to decide."""
    spec = rehearsal(review={"mode": "manual"})
    made = Job(id=key, token="", model="digits", spec=spec, state=state)
    return made.model_copy(update=fields)


def rehearsal_set(key: str = JOB) -> RehearsalSet:
    """What a person is asked about."""
    return RehearsalSet(
        id=f"{key}.1",
        job=key,
        model="digits",
        generator="gmm",
        fitted=("gmm-j-made-1",),
        parts=(),
        counts={"0": 5, "1": 4},
        mean_confidence={"0": 0.9, "1": 0.8},
        balance=0.8,
        likeness={"0": Likeness(fidelity=0.9, coverage=0.7, drift=0.2)},
    )


async def fill(store: Store) -> None:
    """Put the world into a store."""
    for name, classes in (("digits", OLD + NEW), ("zero-to-four", OLD), ("five-to-nine", NEW)):
        await datasets.add(store, name, splits(classes), "made")
    await store.insert(version())
    await store.insert(Model(id="digits", released=1))
    await store.insert(fitted())
    await store.insert(Monitor(id="digits", policy=MonitorPolicy(spec=rehearsal())))
    now = datetime.now(UTC)
    await store.insert(
        Device(id="pump-7", model="digits", version=1, state="running", reported=now)
    )
