"""Devices: what each last said that it runs."""

from control.verbs.pages import page as page_of
from schemas.documents import Device
from store.base import Store


async def page(
    store: Store, limit: int = 100, before: str | None = None, *, model: str | None = None
) -> list[Device]:
    """Return devices, the last that were new first."""
    return await page_of(store, Device, limit, before, model=model)
