"""A monitor is set once however often it is said, and not at all with a job that could not be done."""

import json

import pytest

from schemas.documents import Monitor
from schemas.job import RehearsalSpec
from schemas.monitoring import MonitorPolicy
from store.base import Store, change
from tests.control.home import Home

SET = "monitor set digits --new-data five-to-nine --generator gmm"


def monitor(home: Home) -> Monitor:
    async def get(store: Store) -> Monitor:
        return await store.get(Monitor, "digits")

    return home.with_store(get)


def test_every_limit_reaches_the_policy(full_home: Home) -> None:
    line = f"{SET} --window 60 --reference 300 --max-fall 0.1 --max-doubt 0.2 --max-shift 0.3"
    more = "--windows 50 --rearm-at 0.25 --cooldown 60 --count 7 --classes 0-2 --epochs 3 --seed 4"

    assert full_home.rdg(f"{line} {more} --min-accuracy 0.5 --review manual").code == 0

    spec = {
        "model": "digits",
        "new_data": "five-to-nine",
        "generator": "gmm",
        "classes": ("0", "1", "2"),
        "count": 7,
        "seed": 4,
        "training": {"epochs": 3},
        "gates": {"min_accuracy": 0.5},
        "review": {"mode": "manual"},
    }
    assert monitor(full_home).policy == MonitorPolicy(
        spec=RehearsalSpec.model_validate(spec),
        window=60,
        reference=300,
        max_fall=0.1,
        max_doubt=0.2,
        max_shift=0.3,
        windows=50,
        rearm_at=0.25,
        cooldown_s=60,
    )


def test_the_same_policy_again_changes_nothing(full_home: Home) -> None:
    full_home.rdg(SET)
    before = monitor(full_home)

    assert full_home.rdg(SET).code == 0

    assert monitor(full_home) == before


def test_another_policy_keeps_what_was_seen_and_switches_on(full_home: Home) -> None:
    watch = {"version": 1, "alarms": 3}

    async def seen(store: Store) -> None:
        await change(
            store,
            Monitor,
            "digits",
            lambda now: Monitor.model_validate(now.model_dump() | {"watch": watch, "state": "off"}),
        )

    full_home.with_store(seen)

    assert full_home.rdg(f"{SET} --window 99").code == 0

    now = monitor(full_home)
    assert now.watch is not None
    assert (now.state, now.policy.window, now.watch.alarms) == ("on", 99, 3)


def test_a_monitor_that_is_switched_off_is_kept(full_home: Home) -> None:
    assert full_home.rdg("monitor off digits").code == 0

    assert monitor(full_home).state == "off"
    assert json.loads(full_home.rdg("monitor show digits --format json").out)["state"] == "off"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("monitor set digits --new-data nope", 4, "new_data"),
        (f"{SET} --no-fit-new --classes 5", 4, "classes"),
        (f"{SET} --max-fall 0.9", 4, "max_fall"),
        (f"{SET} --window 1", 4, "window"),
        ("monitor set digits", 4, "--new-data"),
        ("monitor show nope", 1, "rdg monitor list"),
        ("monitor off nope", 1, "rdg monitor list"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    full_home: Home, line: str, code: int, says: str
) -> None:
    before = monitor(full_home)

    outcome = full_home.rdg(line)

    assert (outcome.code, len(outcome.err.splitlines())) == (code, 1)
    assert says in outcome.err
    assert monitor(full_home) == before
