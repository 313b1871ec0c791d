"""Monitors: when a model is to be rehearsed. workers/monitor.py looks at them."""

from typing import Literal

from control.verbs import requests
from control.verbs.errors import Invalid
from control.verbs.pages import page as page_of
from schemas.documents import Monitor
from schemas.monitoring import MonitorPolicy
from store.base import Store, change


async def put(store: Store, model: str, policy: MonitorPolicy) -> Monitor:
    """Give a model's monitor this policy, and switch it on; the same again changes nothing.

    What the monitor has seen so far counts under the new policy too.

    Raises:
        Invalid: The job could not be submitted now, or is of another model; nothing was written.

    """
    if policy.spec.model != model:
        remedy = "a monitor rehearses its own model"
        raise Invalid("model", f"{policy.spec.model!r} is not {model!r}", remedy)
    await requests.check(store, policy.spec)
    await store.insert(Monitor(id=model, policy=policy))
    return await _changed(store, model, "on", policy)


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Monitor]:
    """Return monitors, newest first."""
    return await page_of(store, Monitor, limit, before)


async def show(store: Store, model: str) -> Monitor:
    """Return a model's monitor, or raise NotFound."""
    return await store.get(Monitor, model)


async def off(store: Store, model: str) -> Monitor:
    """Switch a model's monitor off, or raise NotFound. A job that it asked for goes on."""
    return await _changed(store, model, "off")


async def _changed(
    store: Store, model: str, state: Literal["on", "off"], policy: MonitorPolicy | None = None
) -> Monitor:
    def step(monitor: Monitor) -> Monitor:
        wanted = policy or monitor.policy
        if (monitor.state, monitor.policy) == (state, wanted):
            return monitor
        return monitor.model_copy(update={"state": state, "policy": wanted})

    return await change(store, Monitor, model, step)
