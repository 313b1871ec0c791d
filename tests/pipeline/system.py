"""A whole system for tests: data in its store, jobs submitted, results awaited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bus.bus import Bus
from bus.connect import connect
from bus.transport import Transport
from learning.bundle import pack
from schemas.documents import Dataset, Job, SamplePart
from schemas.flow import Progress, RehearsalRequested
from schemas.job import Spec
from schemas.message import derived_id
from schemas.settings import Settings
from store.base import Store
from store.connect import open_store
from workers.pipeline import installed
from workers.process import attending

NAMES = tuple("0123456789")


@dataclass(frozen=True)
class System:
    """A bus and a store that somebody works on."""

    bus: Bus
    store: Store
    settings: Settings

    async def start(self, key: str, spec: Spec) -> Job:
        """Submit a job and return it."""
        job = Job(id=key, token=key, model=spec.model, spec=spec)
        await self.store.insert(job)
        await self.bus.publish(
            RehearsalRequested(id=derived_id(job.run), job=job.id, attempt=job.attempt)
        )
        return job

    async def over(self, key: str, within_s: float = 90) -> Job:
        """Wait until the job is over and return it."""
        async with (
            asyncio.timeout(within_s),
            self.bus.follow(Progress, since="first") as progress,
        ):
            async for _ in progress:
                job = await self.store.get(Job, key)
                if job.is_over:
                    return job
        raise AssertionError("the log ended")

    async def run(self, key: str, spec: Spec) -> Job:
        """Submit a job and return it when it is over."""
        await self.start(key, spec)
        return await self.over(key)


@asynccontextmanager
async def embedded(folder: Path, **settings: Any) -> AsyncIterator[System]:
    """Run all stages in this process, on the in-memory bus and SQLite."""
    chosen = Settings(home=folder, **settings)
    async with (
        open_store(chosen.store_url, chosen.cache_bytes) as store,
        connect("memory://") as transport,
        attending(transport, store, chosen, installed()),
    ):
        yield System(_bus(transport, store, chosen), store, chosen)


def _bus(transport: Transport, store: Store, settings: Settings) -> Bus:
    return Bus(transport, "test", store, settings.inline_bytes)


def digits(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return scikit-learn's digits, every fourth of them for testing."""
    images, labels = load_digits(return_X_y=True)
    is_test = np.arange(len(labels)) % 4 == 0
    chosen = is_test if split == "test" else ~is_test
    pixels = (images.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    return pixels[chosen], labels[chosen].astype(np.int64)


Look = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def as_they_are(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return samples


async def add_digits(
    store: Store, name: str, classes: Sequence[str], look: Look = as_they_are
) -> Dataset:
    """Store the digits of these classes, as they look to some camera, as a data set."""
    dataset = Dataset(
        id=name,
        source="digits",
        shape=(8, 8),
        dtype="uint8",
        classes=tuple(classes),
        train=await _parts(store, name, classes, "train", look),
        test=await _parts(store, name, classes, "test", look),
    )
    await store.insert(dataset)
    return dataset


async def _parts(
    store: Store, name: str, classes: Sequence[str], split: str, look: Look
) -> tuple[SamplePart, ...]:
    samples, labels = digits(split)
    parts = []
    for target in classes:
        own = look(samples[labels == int(target)])
        data = pack({"samples": own})
        digest = await store.put_part(data, f"data/{name}")
        parts.append(SamplePart(target=target, count=len(own), digest=digest, size_bytes=len(data)))
    return tuple(parts)
