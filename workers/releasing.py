"""Releasing: a candidate that passes its job's gates becomes the model's released version, on the release log."""

import logging
from collections.abc import AsyncIterator

from bus.bus import Bus
from bus.stage import Stage
from schemas.documents import Dataset, Fitted, Job, Model, ModelVersion, RehearsalSet
from schemas.flow import ModelReleased, ModelTrained, Progress
from schemas.job import Gates, RehearsalSpec
from schemas.model import Manifest, Provenance
from schemas.names import model_of
from store.base import Store, change
from store.errors import Damaged, NotFound
from store.jobs import finish
from workers.datasets import pinned
from workers.resources import Refusal, Resources, code_version, report

Out = ModelReleased | Progress

RELEASE_BYTES = 8 * 1024 * 1024

log = logging.getLogger("rdg.worker")


def stage(resources: Resources) -> Stage[ModelTrained, Out]:
    """Return the releasing stage."""
    store = resources.store

    async def handle(job: Job, message: ModelTrained) -> AsyncIterator[Out]:
        version = await _record(store, job, job.rehearsal, message)
        missed = _missed(job.rehearsal.gates, message, await _known_before(store, version))
        if missed:
            await _mark(store, version, "refused", "; ".join(missed))
            raise Refusal(f"{version.id} was not released: {'; '.join(missed)}")
        if job.rehearsal.release:
            release = await release_of(store, version)  # refused before anything points to it
            model = await _point_to(store, job, job.rehearsal, version)
            await _mark(store, version, "released", "")
            if model.released == version.number:
                yield release
        yield report(await finish(store, job, "completed", result=version.id), "releasing")

    return Stage(
        "releasing",
        consumes=(ModelTrained,),
        produces=(ModelReleased, Progress),
        handle=resources.on_jobs("releasing", handle, even_completed=True),
    )


async def _known_before(store: Store, version: ModelVersion) -> tuple[str, ...]:
    if version.base is None:
        return ()
    return (await store.get(ModelVersion, f"{version.model}@{version.base}")).classes


def _missed(gates: Gates, trained: ModelTrained, known: tuple[str, ...]) -> list[str]:
    """Return every gate that the candidate misses, in words; what was not measured is missed."""
    missed = []
    scores = trained.scores
    if gates.min_accuracy is not None and scores.accuracy < gates.min_accuracy:
        missed.append(f"accuracy {scores.accuracy:.3f} is under the gate {gates.min_accuracy}")
    if gates.max_forgetting is not None:
        missed += _forgotten(gates.max_forgetting, trained, known)
    return missed


def _forgotten(most: float, trained: ModelTrained, known: tuple[str, ...]) -> list[str]:
    before = trained.before.per_class if trained.before else {}
    missed = []
    for name in known:
        if name not in before:
            missed.append(
                f"class {name} was not measured: rehearse it, or name a probe that has it"
            )
        elif (fall := before[name] - trained.scores.per_class.get(name, 0.0)) > most:
            missed.append(f"class {name} fell by {fall:.3f}, over the gate {most}")
    return missed


async def _record(
    store: Store, job: Job, spec: RehearsalSpec, trained: ModelTrained
) -> ModelVersion:
    """Return the candidate's version; the same one however often it is asked for."""
    newest = await store.find(ModelVersion, model=job.model, limit=1)  # first: see the loop
    kept = await store.find(ModelVersion, run=job.run, limit=1)
    if kept:
        return kept[0]
    dataset = await pinned(store, job, spec.new_data)
    provenance = await _provenance(store, job, spec, dataset)
    # Before there is a version: if there never is one, workers/leftovers.py ends these claims.
    for part in trained.parts:
        await store.put_part(await store.get_part(part.digest), model_of(job.run))
    number = newest[0].number if newest else 0
    while True:
        number += 1
        version = ModelVersion(
            id=f"{job.model}@{number}",
            model=job.model,
            number=number,
            run=job.run,
            base=trained.base,
            architecture=trained.architecture,
            shape=dataset.shape,
            dtype=dataset.dtype,
            classes=trained.classes,
            parts=trained.parts,
            scores=trained.scores,
            before=trained.before,
            provenance=provenance,
            status="candidate",
        )
        if await store.insert(version):
            return version
        # Of two replicas with this candidate, both meet at the first number that was free for either.
        there = await store.get(ModelVersion, version.id)
        if there.run == job.run:
            return there


async def _provenance(store: Store, job: Job, spec: RehearsalSpec, dataset: Dataset) -> Provenance:
    fits = [await store.get(Fitted, key) for key in job.fits]
    kept = await store.get(RehearsalSet, job.run) if job.fitted else None
    return Provenance(
        job=job.id,
        seed=spec.seed,
        generator=spec.generator,
        fitted=tuple(fit.id for fit in fits),
        new_data=spec.new_data,
        data_digests=dataset.digests,
        rehearsal_digests=tuple(part.digest for part in kept.parts) if kept else (),
        reviewer=kept.reviewer if kept else "",
        code_version=code_version(),
    )


async def _point_to(store: Store, job: Job, spec: RehearsalSpec, version: ModelVersion) -> Model:
    """Make the version the model's released one, unless another job was first, and return the model.

    A job that names its base knows what it replaces; any other must replace the version that it started from. A
    repeat that comes late leaves a newer release where it is.
    """
    await store.insert(Model(id=job.model))
    was_released = version.status == "released" or await _has_descendant_out(store, version)

    def step(model: Model) -> Model:
        if version.number == model.released or was_released:
            return model
        is_older = model.released is not None and model.released > version.number
        if is_older or (spec.base is None and model.released != job.base):
            raise Refusal(
                f"{job.model}@{model.released} was released meanwhile; "
                f"`rdg job retry {job.id}` trains on top of it"
            )
        return model.model_copy(update={"released": version.number})

    return await change(store, Model, job.model, step)


async def _has_descendant_out(store: Store, version: ModelVersion) -> bool:
    """Return whether the released version descends from this one, which then was released before it."""
    number = (await store.get(Model, version.model)).released
    while number is not None and number > version.number:
        number = (await store.get(ModelVersion, f"{version.model}@{number}")).base
    return number == version.number


async def _mark(store: Store, version: ModelVersion, status: str, reason: str) -> ModelVersion:
    return await change(
        store,
        ModelVersion,
        version.id,
        lambda now: now.model_copy(update={"status": status, "reason": reason}),
    )


async def release_of(store: Store, version: ModelVersion) -> ModelReleased:
    """Return the release with all its parts inside.

    Raises:
        Refusal: They are larger than a log entry may be.

    """
    total = sum(part.size_bytes for part in version.parts)
    if total > RELEASE_BYTES:
        raise Refusal(f"{version.id} has {total} bytes of parts, a release carries {RELEASE_BYTES}")
    parts = {part.digest: await store.get_part(part.digest) for part in version.parts}
    return ModelReleased(manifest=manifest_of(version), parts=parts)


async def publish_newest(store: Store, bus: Bus, model: Model) -> bool:
    """Publish a model's released version again, and return whether it is on the release log; if not, say why.

    One that is damaged, or larger than a log entry may be, keeps nothing else from being done.
    """
    newest = f"{model.id}@{model.released}"
    try:
        release = await release_of(store, await store.get(ModelVersion, newest))
    except (Damaged, NotFound, Refusal) as error:
        log.error(
            "%s is not on the release log, and no device can join with it: %s; restore it from a backup,"
            " or release another version of %s",
            newest,
            error,
            model.id,
        )
        return False
    await bus.publish(release)
    return True


def manifest_of(version: ModelVersion) -> Manifest:
    """Return a version as devices see it."""
    fields = version.model_dump(include=set(Manifest.model_fields) - {"version"})
    return Manifest.model_validate({**fields, "version": version.number})
