"""Generators: the kinds that are installed, and those that were fitted. Fitting one is a job: jobs.submit."""

from control.verbs.pages import page as page_of
from learning import generators
from schemas.documents import Fitted
from store.base import Store


def installed() -> tuple[str, ...]:
    """Return the names of the kinds that may be asked for."""
    return generators.installed()


async def page(
    store: Store, limit: int = 100, before: str | None = None, *, model: str | None = None
) -> list[Fitted]:
    """Return fitted generators, newest first."""
    return await page_of(store, Fitted, limit, before, model=model)


async def show(store: Store, key: str) -> Fitted:
    """Return one fitted generator."""
    return await store.get(Fitted, key)
