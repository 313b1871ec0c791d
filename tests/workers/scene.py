"""What a stage finds in its store, and what it makes of one message.

The world is small: samples of three features, where the class of that position stands out, and a model that knows it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bus.stage import AnyStage
from learning.bundle import pack
from learning.generators.base import Task
from learning.reference import Reference
from schemas.documents import Dataset, Fitted, Job, Model, ModelVersion, RehearsalSet, SamplePart
from schemas.flow import GenerationRequested, Order, RehearsalRequested, SamplesLabelled
from schemas.job import FitSpec, RehearsalSpec, Spec
from schemas.message import Message, derived_id
from schemas.model import Likeness, PartRef, Provenance, Scores
from schemas.names import model_of
from store.base import Store
from store.errors import NotFound
from workers.collection import stage as collection
from workers.planning import stage as planning
from workers.resources import Resources

ALL = ("ant", "bee", "cat")
KNOWN = ALL[:2]
SHAPE = (3,)
ABSENT = "0" * 64  # a digest that no part has
REQUEST = RehearsalRequested(job="j-1")
SHARDS = ("ant", "ant", "bee")

M = TypeVar("M", bound=Message)


async def sent(stage: AnyStage, message: Message) -> list[Message]:
    """Handle a message that has an id, as every delivered one has, and return what the stage says."""
    stamped = message.model_copy(update={"id": derived_id(message.topic)})
    return [output async for output in stage.handle(stamped)]


def of(kind: type[M], messages: Iterable[Message]) -> list[M]:
    return [message for message in messages if isinstance(message, kind)]


def only(kind: type[M], messages: Iterable[Message]) -> M:
    (message,) = of(kind, messages)
    return message


def samples_of(target: str, count: int, seed: int = 0) -> NDArray[np.float32]:
    label = ALL.index(target)
    noise = np.random.default_rng([seed, label]).normal(0, 0.05, (count, *SHAPE))
    noise[:, label] += 1
    return noise.astype(np.float32)


async def add_part(store: Store, target: str, count: int, owner: str, seed: int = 0) -> SamplePart:
    data = pack({"samples": samples_of(target, count, seed)})
    digest = await store.put_part(data, owner)
    return SamplePart(target=target, count=count, digest=digest, size_bytes=len(data))


async def add_dataset(
    store: Store, name: str = "new", classes: Sequence[str] = KNOWN, count: int = 12
) -> Dataset:
    parts = [await add_part(store, target, count, f"data/{name}") for target in classes]
    tests = [await add_part(store, target, 4, f"data/{name}", seed=1) for target in classes]
    dataset = Dataset(
        id=name,
        source="scene",
        shape=SHAPE,
        dtype="float32",
        classes=tuple(classes),
        train=tuple(parts),
        test=tuple(tests),
    )
    await store.insert(dataset)
    return dataset


async def add_fitted(
    store: Store,
    key: str = "gmm-earlier",
    classes: Sequence[str] = KNOWN,
    state: dict[str, NDArray[Any]] | None = None,
    **changes: Any,
) -> Fitted:
    data = pack(state or {})
    digest = await store.put_part(data, f"fitted/{key}")
    fields = {
        "id": key,
        "model": "m",
        "job": "j-earlier",
        "generator": "gmm",
        "data": "old",
        "shape": SHAPE,
        "dtype": "float32",
        "classes": tuple(classes),
        "options": {},
        "seed": 0,
        "digest": digest,
        "size_bytes": len(data),
    }
    fitted = Fitted.model_validate({**fields, **changes})
    await store.insert(fitted)
    return fitted


async def add_reference(
    store: Store, key: str = "gmm-earlier", looks_like: Sequence[str] = KNOWN
) -> PartRef:
    """Store what is known of the real data of the known classes, 100 samples each."""
    samples = np.concatenate([samples_of(target, 100) for target in looks_like])
    reference = Reference.of(Task(samples, np.repeat([0, 1], 100), len(KNOWN)))
    data = pack(reference.arrays())
    digest = await store.put_part(data, f"fitted/{key}")
    return PartRef(name="reference", digest=digest, size_bytes=len(data))


def weights_of(n_classes: int) -> dict[str, NDArray[np.float32]]:
    """Parameters of a "dense3" network that answers with the position of the largest feature."""
    eye = np.eye(3, dtype=np.float32)
    return {
        "backbone.0.weight": eye,
        "backbone.0.bias": np.zeros(3, np.float32),
        "head.weight": 10 * eye[:n_classes],
        "head.bias": np.zeros(n_classes, np.float32),
    }


async def add_weights(store: Store, owner: str, n_classes: int) -> tuple[PartRef, ...]:
    weights, parts = weights_of(n_classes), []
    for name in ("backbone", "head"):
        data = pack({key: array for key, array in weights.items() if key.startswith(name)})
        digest = await store.put_part(data, owner)
        parts.append(PartRef(name=name, digest=digest, size_bytes=len(data)))
    return tuple(parts)


def scores(accuracy: float = 1.0, measured_on: str = "validation", **per_class: float) -> Scores:
    return Scores(measured_on=measured_on, accuracy=accuracy, per_class=per_class)


async def add_version(
    store: Store, number: int = 1, classes: Sequence[str] = KNOWN, **changes: Any
) -> ModelVersion:
    """Store a version of model m, and release it."""
    fields = {
        "id": f"m@{number}",
        "model": "m",
        "number": number,
        "run": f"j-earlier-{number}.1",
        "architecture": "dense3",
        "shape": SHAPE,
        "dtype": "float32",
        "classes": tuple(classes),
        "parts": await add_weights(
            store, model_of(changes.get("run", f"j-earlier-{number}.1")), len(classes)
        ),
        "scores": scores(),
        "provenance": Provenance(job="j-earlier", seed=0, code_version="1"),
        "status": "released",
    }
    version = ModelVersion.model_validate({**fields, **changes})
    await store.insert(version)
    await release(store, number)
    return version


async def release(store: Store, number: int) -> None:
    """Make that version the released one of model m."""
    await store.insert(Model(id="m"))
    model = await store.get(Model, "m")
    await store.replace(model.model_copy(update={"released": number}))


def rehearsal(**changes: Any) -> RehearsalSpec:
    asked = {"model": "m", "new_data": "new", "generator": "gmm", "classes": KNOWN, "count": 20}
    return RehearsalSpec.model_validate({**asked, "fit_new": False, **changes})


def plain(**changes: Any) -> RehearsalSpec:
    """Training without rehearsal."""
    return rehearsal(generator=None, classes=(), **changes)


def fit(**changes: Any) -> FitSpec:
    return FitSpec.model_validate({"model": "m", "generator": "gmm", "data": "new", **changes})


async def add_job(store: Store, spec: Spec, **fields: Any) -> Job:
    job = Job.model_validate({"id": "j-1", "token": "t", "model": "m", "spec": spec, **fields})
    await store.insert(job)
    return job


async def job_now(store: Store) -> Job:
    return await store.get(Job, "j-1")


def order(target: str = "ant", count: int = 5, **changes: Any) -> Order:
    fields = {
        "shard": 0,
        "shards": 1,
        "generator": "gmm",
        "fitted": "gmm-earlier",
        "target": target,
        "count": count,
        "seed": 1,
    }
    return Order.model_validate({**fields, **changes})


async def planned(resources: Resources, message: Message = REQUEST) -> list[Message]:
    return await sent(planning(resources), message)


async def orders(resources: Resources) -> list[Order]:
    return [message.order for message in of(GenerationRequested, await planned(resources))]


def shard(index: int, count: int | None = None) -> SamplesLabelled:
    """The shard of that number: 3, 4 or 5 samples, with as many rejected as its number says."""
    target = SHARDS[index]
    count = index + 3 if count is None else count
    return SamplesLabelled(
        job="j-1",
        order=order(target, shard=index, shards=len(SHARDS)),
        samples=samples_of(target, count, seed=index),
        probabilities=np.full((count, 2), 0.5, np.float32),
        confidence=np.full(count, 0.5 + index / 10, np.float32),
        rejected={"duplicate": index, "surplus": 0},
    )


def corrected_shard() -> SamplesLabelled:
    """Shard 0 with two samples made as ants that are bees."""
    samples = np.concatenate([samples_of("ant", 3), samples_of("bee", 2, seed=7)])
    return shard(0, 5).model_copy(update={"samples": samples, "counts": {"ant": 3, "bee": 2}})


async def arrive(resources: Resources, shards: Sequence[SamplesLabelled]) -> list[Message]:
    stage = collection(resources)
    return [said for each in shards for said in await sent(stage, each)]


async def add_set(
    store: Store, classes: Sequence[str] = KNOWN, run: str = "j-1.1", count: int = 12
) -> RehearsalSet:
    parts = tuple([await add_part(store, name, count, f"set/{run}", seed=2) for name in classes])
    kept = RehearsalSet(
        id=run,
        job="j-1",
        model="m",
        generator="gmm",
        fitted=("gmm-earlier",),
        parts=parts,
        counts=dict.fromkeys(classes, count),
        mean_confidence=dict.fromkeys(classes, 1.0),
        balance=1.0,
        likeness=dict.fromkeys(classes, Likeness(fidelity=1, coverage=1, drift=0)),
    )
    await store.insert(kept)
    return kept


async def is_there(store: Store, digest: str) -> bool:
    """Whether the store still has a part."""
    try:
        return bool(await store.get_part(digest))
    except NotFound:
        return False
