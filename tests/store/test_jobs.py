"""A job's life under races: each attempt ends once, in the state that came first, whoever else tries what and when."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.documents import NEXT_STATES, TERMINAL, Document, Job, JobState
from schemas.job import FitSpec
from store.base import Store
from store.errors import Conflict
from store.jobs import ENDED, advance, count_ended, finish, renew

SPEC = FitSpec(model="m", generator="gmm", data="d")


class Turns:
    """A store in memory that lets others in at every call, and remembers each form of a job."""

    def __init__(self, job: Job) -> None:
        self.forms = [job]
        self.ended: Counter[str] = Counter()
        self.cleaned: list[str] = []

    async def get(self, kind: type[Document], key: str) -> Job:
        await asyncio.sleep(0)
        return self.forms[-1]

    async def replace(self, job: Job) -> Job:
        await asyncio.sleep(0)
        if job.revision != self.forms[-1].revision:
            raise Conflict
        self.forms.append(job.model_copy(update={"revision": job.revision + 1}))
        return self.forms[-1]

    async def tally(self, key: str, amounts: Mapping[str, float]) -> None:
        await asyncio.sleep(0)
        if key == ENDED:
            self.ended.update(dict.fromkeys(amounts, 1))

    async def tallies(self, key: str) -> dict[str, float]:
        return dict(self.ended)

    async def drop_parts(self, owner: str, *digests: str) -> int:
        await asyncio.sleep(0)
        self.cleaned.append(owner)
        return 0

    async def close_gate(self, gate: str) -> None:
        await asyncio.sleep(0)


Attempt = tuple[int, JobState | None]
"""Somebody who looks at the job, waits so many turns, and then moves it there; None: tries it anew."""

states = st.sampled_from(sorted(NEXT_STATES))
attempts = st.lists(st.tuples(st.integers(0, 12), st.none() | states), min_size=1, max_size=12)


async def act(store: Store, pause: int, to: JobState | None) -> None:
    job = await store.get(Job, "j-1")
    for _ in range(pause):
        await asyncio.sleep(0)
    if to is None:
        await renew(store, job)
    elif to in TERMINAL:
        await finish(store, job, to, f"{to} it is")
    else:
        await advance(store, job, to)


async def race(start: JobState, actors: list[Attempt]) -> Turns:
    turns = Turns(Job(id="j-1", token="", model="m", spec=SPEC, state=start))
    store = cast(Store, turns)
    async with asyncio.TaskGroup() as group:
        for pause, to in actors:
            group.create_task(act(store, pause, to))
    return turns


def step_of(before: Job, after: Job) -> str:
    """What happened between two forms of a job; "" if it must not."""
    if after.attempt == before.attempt:
        is_allowed = after.state in NEXT_STATES[before.state] and before.state not in TERMINAL
        return "moved" if is_allowed else ""
    is_allowed = after.state in NEXT_STATES[before.state] and before.state in TERMINAL
    return "renewed" if is_allowed and after.attempt == before.attempt + 1 else ""


@given(start=states, actors=attempts)
@settings(max_examples=150, deadline=None)
def test_whoever_races_every_step_is_one_of_the_machine(
    start: JobState, actors: list[Attempt]
) -> None:
    turns = asyncio.run(race(start, actors))

    steps = [step_of(*pair) for pair in zip(turns.forms, turns.forms[1:], strict=False)]
    assert all(steps)
    ends = Counter(form.state for form in turns.forms[1:] if form.is_over)
    assert turns.ended == ends


@given(start=states, actors=attempts)
@settings(max_examples=75, deadline=None)
def test_an_end_is_final_and_clean_and_keeps_its_reason(
    start: JobState, actors: list[Attempt]
) -> None:
    no_retries = [(pause, to) for pause, to in actors if to is not None]

    turns = asyncio.run(race(start, [*no_retries, (0, "failed")]))

    last = turns.forms[-1]
    assert last.is_over
    assert sum(form.is_over for form in turns.forms) == 1
    if start not in TERMINAL:
        assert last.reason == f"{last.state} it is"
        assert last.leftovers == "possible"
        assert {f"run/{last.run}", f"claims/{last.run}"} <= set(turns.cleaned)
        assert (f"set/{last.run}" in turns.cleaned) == (last.state != "completed")


async def test_a_new_attempt_has_nothing_of_the_one_before() -> None:
    ended = Job(id="j-1", token="t", model="m", spec=SPEC, state="failed", trace="t-1")
    spoiled: dict[str, Any] = {
        "reason": "no luck",
        "base": 3,
        "data": {"d": "0" * 64},
        "fitted": {"0": ("gmm-j-1-1",)},
        "rejected": {"confidence": 2},
        "result": "m@3",
        "leftovers": "possible",
    }
    turns = Turns(ended.model_copy(update=spoiled))

    again = await renew(cast(Store, turns), ended)

    kept = {"id", "token", "model", "spec", "created", "trace"}
    fresh = Job(id="j-1", token="t", model="m", spec=SPEC, attempt=2)
    now = {"revision", "asked", "updated"}
    assert again.model_dump(exclude=kept | now) == fresh.model_dump(exclude=kept | now)
    assert again.model_dump(include=kept) == ended.model_dump(include=kept)
    assert again.asked > ended.asked


async def test_a_result_is_never_tried_again() -> None:
    done = Job(id="j-1", token="", model="m", spec=SPEC, state="completed")

    assert await renew(cast(Store, Turns(done)), done) == done


async def test_ends_are_counted_once_however_often_they_are_said() -> None:
    turns = Turns(Job(id="j-1", token="", model="m", spec=SPEC))
    store = cast(Store, turns)

    for _ in range(3):
        await finish(store, turns.forms[0], "cancelled")

    assert await count_ended(store) == {"cancelled": 1}
