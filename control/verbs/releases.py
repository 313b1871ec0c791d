"""Releases: the versions that went out to devices, and which of a model's is the current one."""

from pydantic import BaseModel, ConfigDict

from control.verbs import models
from control.verbs.errors import Invalid, Refused
from schemas.documents import ModelVersion
from store.base import MAX_PAGE, Store


class Release(BaseModel):
    """A version that was released; `is_current`: devices that follow the model are to run it."""

    model_config = ConfigDict(frozen=True)

    version: ModelVersion
    is_current: bool


async def page(
    store: Store, limit: int = 100, before: str | None = None, *, model: str | None = None
) -> list[Release]:
    """Return up to `limit` releases, newest first, older than the version with the id `before`."""
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid("limit", f"{limit} is out of range", f"give 1 to {MAX_PAGE}")
    equal = {} if model is None else {"model": model}
    last = None if before is None else await store.get(ModelVersion, before)
    found: list[ModelVersion] = []
    while len(found) < limit:
        versions = await store.find(
            ModelVersion, limit=limit, before=last, skip_damaged=True, **equal
        )
        found += [each for each in versions if each.status == "released"]
        if len(versions) < limit:
            break
        last = versions[-1]
    current = {name: await models.released(store, name) for name in {each.model for each in found}}
    return [
        Release(version=each, is_current=current[each.model] == each.number)
        for each in found[:limit]
    ]


async def show(store: Store, reference: str) -> Release:
    """Return the release that a reference means: `digits` the current one, `digits@3` that one.

    Raises:
        Refused: That version was never released.

    """
    version = await models.version(store, reference)
    if version.status != "released":
        raise Refused(
            f"{version.id} is {version.status}, not released", f"see `rdg model show {version.id}`"
        )
    current = await models.released(store, version.model)
    return Release(version=version, is_current=current == version.number)
