"""What a person is shown before a decision on a rehearsal set."""

import json

import pytest

from store.base import Store
from tests.control.home import Home
from tests.control.world import JOB, fitted, job, rehearsal_set


@pytest.fixture
def waiting(full_home: Home) -> Home:
    """A home where a set waits: of class 0 its likeness to the real data is known, of class 1 not."""

    async def insert(store: Store) -> None:
        await store.insert(job("reviewing"))
        await store.insert(rehearsal_set())

    full_home.with_store(insert)
    return full_home


def test_the_figures_of_each_class_are_shown(waiting: Home) -> None:
    lines = waiting.rdg(f"review show {JOB}").out.splitlines()

    known, unknown = lines[-2:]
    assert "5 samples, confidence 0.9, fidelity 0.9, coverage 0.7, drift 0.2" in known
    assert unknown.rstrip().endswith("4 samples, confidence 0.8")


def test_corrected_and_repeated_samples_are_shown(full_home: Home) -> None:
    figures = {"corrected": {"1": 2}, "duplicates": {"0": 0.5, "1": 0.0}}

    async def insert(store: Store) -> None:
        await store.insert(job("reviewing"))
        await store.insert(rehearsal_set().model_copy(update=figures))

    full_home.with_store(insert)
    first, second = full_home.rdg(f"review show {JOB}").out.splitlines()[-2:]

    assert "duplicates 0.5" in first
    assert "corrected" not in first
    assert second.rstrip().endswith("duplicates 0, corrected 2")


def test_what_its_fits_measured_while_they_had_their_data_is_shown(full_home: Home) -> None:
    async def insert(store: Store) -> None:
        used = {"0": ("gmm-j-made-1",), "1": ("gmm-j-made-1", "gmm-private")}
        await store.insert(job("reviewing").model_copy(update={"fitted": used}))
        await store.insert(rehearsal_set())
        await store.insert(fitted(id="gmm-private", quality=None))

    full_home.with_store(insert)
    measured, private = full_home.rdg(f"review show {JOB}").out.splitlines()[-2:]

    assert "accuracy 0.93 (real: 0.95), nearest real sample 0.4 (real: 0.5)" in measured
    assert private.rstrip().endswith("not measured")


def test_a_script_gets_the_set_as_it_is_kept(waiting: Home) -> None:
    shown = json.loads(waiting.rdg(f"review show {JOB} --format json").out)
    assert shown["likeness"] == {"0": {"fidelity": 0.9, "coverage": 0.7, "drift": 0.2}}


def test_the_worst_class_is_listed(waiting: Home) -> None:
    headings, row = waiting.rdg("review list").out.splitlines()
    assert "LEAST FIDELITY" in headings
    assert tuple(row.split()[-5:-2]) == ("0.9", "0.7", "0.2")


def test_a_set_that_is_not_there_is_an_error(full_home: Home) -> None:
    assert full_home.rdg("review show j-none").code != 0
