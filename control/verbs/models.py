"""Models: their versions, and where a version comes from. `digits` means its released version, `digits@3` that one."""

from pydantic import BaseModel, ConfigDict

from control.verbs.errors import Invalid
from control.verbs.pages import page as page_of
from schemas.documents import Model, ModelVersion
from store.base import MAX_PAGE, Store
from store.errors import NotFound


class ModelDetail(BaseModel):
    """A model and its versions, newest first; `released` is the current one's number."""

    model_config = ConfigDict(frozen=True)

    model: str
    released: int | None
    versions: tuple[ModelVersion, ...]


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Model]:
    """Return models that have a released version, newest first."""
    return await page_of(store, Model, limit, before)


async def show(store: Store, name: str) -> ModelDetail:
    """Return a model with all its versions, candidates too; NotFound if it has none."""
    versions = await store.find(ModelVersion, model=name, limit=MAX_PAGE)
    if not versions:
        raise NotFound(Model.__name__, name)
    return ModelDetail(model=name, released=await released(store, name), versions=tuple(versions))


async def version(store: Store, reference: str) -> ModelVersion:
    """Return the version that a reference means; a model without a released one means its newest."""
    name, at, number = reference.partition("@")
    if at and not number.isdecimal():
        problem = f"{reference!r} is no reference to a version"
        raise Invalid("version", problem, "write it as digits@3")
    if at:
        return await store.get(ModelVersion, f"{name}@{int(number)}")
    detail = await show(store, name)
    current = [each for each in detail.versions if each.number == detail.released]
    return (current or detail.versions)[0]


async def lineage(store: Store, reference: str) -> list[ModelVersion]:
    """Return a version, the one it was trained from, and so on back to the first."""
    line = [await version(store, reference)]
    while (base := line[-1].base) is not None:
        line.append(await store.get(ModelVersion, f"{line[-1].model}@{base}"))
    return line


async def released(store: Store, name: str) -> int | None:
    """Return the number of a model's released version; None if there is none."""
    try:
        return (await store.get(Model, name)).released
    except NotFound:
        return None
