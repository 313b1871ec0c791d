"""Monitors: when a model is to be rehearsed. workers/monitor.py looks at them."""

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
    return await change(store, Monitor, model, lambda known: _on(known, policy))


async def page(store: Store, limit: int = 100, before: str | None = None) -> list[Monitor]:
    """Return monitors, newest first."""
    return await page_of(store, Monitor, limit, before)


async def show(store: Store, model: str) -> Monitor:
    """Return a model's monitor, or raise NotFound."""
    return await store.get(Monitor, model)


async def off(store: Store, model: str) -> Monitor:
    """Switch a model's monitor off, or raise NotFound.

    A job that it asked for goes on. An alarm that has asked for none yet never will: it is as if it had not been.
    """
    return await change(store, Monitor, model, _off)


def _on(monitor: Monitor, policy: MonitorPolicy) -> Monitor:
    if (monitor.state, monitor.policy) == ("on", policy):
        return monitor
    return monitor.model_copy(update={"state": "on", "policy": policy})


def _off(monitor: Monitor) -> Monitor:
    watch = monitor.watch
    if watch and watch.asking:
        watch = watch.model_copy(update={"asking": "", "armed": True, "fired": None})
    if monitor.state == "off" and watch is monitor.watch:
        return monitor
    return monitor.model_copy(update={"state": "off", "watch": watch})
