"""Which fits stand for the classes of a model: what a job rehearses, and what its publisher is told beforehand.

A fit counts once its job is completed, whether its version was released or not; one of a job that is no longer known
counts too. What a job fitted that failed, was rejected or was cancelled may be no good; so may an earlier attempt's.
"""

from collections import defaultdict
from collections.abc import Collection

from schemas.documents import Fitted, Job, ModelVersion
from schemas.job import RehearsalSpec
from store.base import Store, each
from store.errors import NotFound

MOST_BY_DEFAULT = 40
LEAST = 50
"""Samples that a fit is to give: the figures of fewer say little, and each fit has shards of its own."""

Found = defaultdict[str, dict[str, Fitted]]  # by class and what it was fitted on, newest first


def most_fits(spec: RehearsalSpec) -> int:
    """Return from how many fits a class is rehearsed, at most."""
    if spec.fits == "newest":
        return 1
    return MOST_BY_DEFAULT if spec.count == "auto" else max(1, spec.count // LEAST)


async def fits_by_class(
    store: Store, spec: RehearsalSpec, wanted: Collection[str], own: Fitted | None = None
) -> dict[str, tuple[Fitted, ...]]:
    """Return the fits by the job's generator to rehearse each class from, oldest first.

    Of fits of the same data it is the newest. With `fits="every"` they are the newest that can give `LEAST` samples
    each, at least one; with "newest" it is one. `own` is the job's own fit: the newest, whatever the clocks of workers
    say, and it counts before its job is over. Reading ends once the `wanted` classes have as many as they may; what was
    found of others is there too, so that where a wanted one has none, all that there is can be told.

    Raises:
        Damaged: A fit of the model, or its job, cannot be read, and may be one that matters.

    """
    most = most_fits(spec)
    found: Found = defaultdict(dict)
    if own:
        _add(found, own, own.classes)
    async for fit in each(store, Fitted, skip_damaged=False, model=spec.model):
        lacking = _lacking(found, fit, most) if fit.generator == spec.generator else []
        if lacking and await _counts(store, fit):
            _add(found, fit, lacking)
        if all(len(found.get(name, ())) == most for name in wanted):
            break
    return {name: tuple(reversed(fits.values())) for name, fits in found.items()}


def _lacking(found: Found, fit: Fitted, most: int) -> list[str]:
    """Return the classes that have room for a fit, and none yet of the same data."""
    return [
        name
        for name in fit.classes
        if len(known := found.get(name, {})) < most and fit.class_data(name) not in known
    ]


def _add(found: Found, older: Fitted, classes: Collection[str]) -> None:
    for name in classes:
        found[name][older.class_data(name)] = older


async def _counts(store: Store, fit: Fitted) -> bool:
    try:
        job = await store.get(Job, fit.job)
    except NotFound:
        return True
    return fit.id == job.own_fit and (job.state == "completed" or await _is_out(store, job))


async def _is_out(store: Store, job: Job) -> bool:
    """Return whether the version of a job that is about to complete is released, so that others may start from it."""
    if job.state != "releasing":
        return False
    versions = await store.find(ModelVersion, run=job.run, limit=1)
    return any(version.status == "released" for version in versions)
