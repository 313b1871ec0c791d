"""The targets of the fuzzer work: they take what is sound, refuse what is not, and a crash is one."""

from pathlib import Path
from random import Random

import pytest

from tests.fuzz import __main__ as fuzzing
from tests.fuzz.__main__ import Row, table
from tests.fuzz.mutation import Form
from tests.fuzz.targets import TARGETS, Target

INPUTS = 1000

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def flipped(data: bytes, random: Random) -> bytes:
    """The input with a byte changed, and cut short now and then."""
    changed = bytearray(data)
    changed[random.randrange(len(data))] = random.randrange(256)
    return bytes(
        changed[: random.randrange(1, len(data) + 1)] if random.random() < 0.1 else changed
    )


def is_taken(target: Target, data: bytes) -> bool:
    try:
        target.read(data)
    except target.refusals:
        return False
    return True


@every_target
def test_a_target_takes_what_it_begins_from(target: Target) -> None:
    seeds = list(target.seeds())

    assert max(map(len, seeds)) <= target.max_len
    assert any(is_taken(target, seed) for seed in seeds)


@every_target
def test_a_changed_input_is_taken_or_refused(target: Target) -> None:
    random, seeds = Random(1), list(target.seeds())

    for _ in range(INPUTS):
        seed = random.choice(seeds)
        is_taken(target, flipped(seed, random))
        if target.form and (changed := target.form.changed(seed, random)) is not None:
            is_taken(target, changed)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.form])
def test_changed_values_are_now_taken_and_now_refused(name: str) -> None:
    target, random = TARGETS[name], Random(1)
    assert isinstance(target.form, Form)
    seeds = list(target.seeds())
    changed = (target.form.changed(random.choice(seeds), random) for _ in range(300))

    taken = [is_taken(target, data) for data in changed if data is not None]

    assert True in taken
    assert False in taken


def test_shares_are_of_a_hundred() -> None:
    assert sum(target.share for target in TARGETS.values()) == 100


def test_a_crash_is_counted_and_what_was_measured_is_in_the_table() -> None:
    log = "#9 DONE   cov: 7 ft: 8 corp: 2/5b\nstat::number_of_executed_units: 900\n"

    row = fuzzing._row("wire", log, 77, ["0.25", "70"], 3.0)

    assert row == Row("wire", 900, 300, 7, 8, 2, 1, 250.0, 70)
    assert table([row]).splitlines()[-1] == "| wire | 900 | 300 | 7 | 8 | 2 | 1 | 250.0 | 70 |"


def test_without_atheris_fuzzing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzzing, "find_spec", lambda _: None)
    monkeypatch.delenv("CI", raising=False)
    assert fuzzing.main(["--runs", "1"]) == 0
    monkeypatch.setenv("CI", "true")
    assert fuzzing.main(["--runs", "1"]) == 1

    assert "install the extra `fuzz`" in capsys.readouterr().err
