"""What is kept: a job's states as a machine that always comes to an end, and documents that survive JSON."""

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.documents import (
    DOCUMENTS,
    NEXT_STATES,
    TERMINAL,
    Dataset,
    Document,
    Fitted,
    Job,
    JobState,
    RehearsalSet,
    SamplePart,
)
from schemas.job import FitSpec, RehearsalSpec
from schemas.limits import MAX_ENTRIES
from tests.schemas.messages import any_of

STATES: tuple[JobState, ...] = get_args(JobState)
SPEC = RehearsalSpec(model="m", new_data="d")


def reachable(start: JobState, *, through_retry: bool) -> set[JobState]:
    """All states that can follow, and the start."""
    found: set[JobState] = set()
    waiting = [start]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            if through_retry or state not in TERMINAL:
                waiting += NEXT_STATES[state]
    return found


def job(**changes: object) -> Job:
    fields = {"id": "j-1", "token": "t", "model": "m", "spec": SPEC}
    return Job.model_validate(fields | changes)


def test_the_machine_knows_every_state() -> None:
    assert set(NEXT_STATES) == set(STATES)
    assert set().union(*NEXT_STATES.values()) <= set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_every_state_comes_to_an_end(state: JobState) -> None:
    assert reachable(state, through_retry=False) & TERMINAL


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_reached(state: JobState) -> None:
    assert state in reachable("submitted", through_retry=False)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_end_is_left_by_a_retry_alone(state: JobState) -> None:
    assert NEXT_STATES[state] <= {"submitted"}


def test_a_result_is_never_taken_back() -> None:
    assert NEXT_STATES["completed"] == frozenset()


@pytest.mark.parametrize("state", sorted(set(STATES) - TERMINAL))
def test_whatever_is_under_way_can_fail(state: JobState) -> None:
    assert "failed" in NEXT_STATES[state]


def test_a_job_can_be_cancelled_until_its_release_may_be_out() -> None:
    cancellable = {state for state in STATES if "cancelled" in NEXT_STATES[state]}

    assert cancellable == set(STATES) - TERMINAL - {"releasing"}


@pytest.mark.parametrize("state", sorted(set(STATES) - TERMINAL))
def test_nothing_goes_back_but_by_a_retry(state: JobState) -> None:
    following = set().union(*(reachable(each, through_retry=False) for each in NEXT_STATES[state]))

    assert state not in following


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_over_in_the_ends_alone(state: JobState) -> None:
    assert job(state=state).is_over == (state in TERMINAL)


def test_an_attempt_has_a_name_of_its_own() -> None:
    assert (job().run, job(attempt=2).run) == ("j-1.1", "j-1.2")


def test_a_fitting_job_has_nothing_to_rehearse() -> None:
    fitting = job(spec=FitSpec(model="m", generator="gmm", data="d"))

    with pytest.raises(TypeError, match="j-1 is a fit job"):
        _ = fitting.rehearsal


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_document_survives_json(kind: type[Document], data: st.DataObject) -> None:
    document = data.draw(any_of(kind))

    assert kind.model_validate_json(document.model_dump_json()) == document


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_a_document_is_searched_by_fields_that_it_has(kind: type[Document]) -> None:
    assert set(kind.indexes) <= set(kind.model_fields)


def test_documents_are_kept_apart() -> None:
    assert len({kind.collection for kind in DOCUMENTS}) == len(DOCUMENTS)


@pytest.mark.parametrize(
    "change",
    [{"id": ""}, {"id": "x" * 129}, {"attempt": 0}, {"state": "lost"}, {"revision": -1}],
)
def test_a_job_beyond_its_limits_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        job(**change)


def fit(**changes: object) -> Fitted:
    fields = {
        "id": "gmm-j-1-1",
        "model": "m",
        "job": "j-1",
        "generator": "gmm",
        "data": "old",
        "shape": (4,),
        "dtype": "float32",
        "classes": ("cat",),
        "options": {},
        "seed": 0,
        "digest": "0" * 64,
        "size_bytes": 7,
    }
    return Fitted.model_validate(fields | changes)


def test_a_fit_from_before_figures_were_kept_is_read() -> None:
    earlier = fit()
    assert (earlier.reference, earlier.quality, earlier.kept_bytes) == (None, None, 7)


def test_a_set_from_before_figures_were_kept_is_read() -> None:
    fields = {
        "id": "j-1.1",
        "job": "j-1",
        "model": "m",
        "generator": "gmm",
        "fitted": ("gmm-j-1-1",),
        "parts": (),
        "counts": {"cat": 0},
        "mean_confidence": {"cat": 0},
        "balance": 0,
    }
    earlier = RehearsalSet.model_validate(fields)
    assert (earlier.near_duplicates, earlier.likeness) == ({}, {})
    assert (earlier.duplicates, earlier.corrected) == ({}, {})


def test_a_job_that_named_one_fit_of_each_class_is_read() -> None:
    earlier = job().model_dump(mode="json") | {"fitted": {"cat": "gmm-j-1-1", "dog": "gmm-j-2-1"}}

    read = Job.model_validate_json(json.dumps(earlier))

    assert read.fitted == {"cat": ("gmm-j-1-1",), "dog": ("gmm-j-2-1",)}


@pytest.mark.parametrize("fits", ["", (), "Not A Name", ("f",) * (MAX_ENTRIES + 1), 7])
def test_a_class_is_rehearsed_from_some_fits_that_are_names(fits: object) -> None:
    with pytest.raises(ValidationError, match="fitted"):
        job(fitted={"cat": fits})


def test_a_job_has_each_of_its_fits_once() -> None:
    shared = job(fitted={"cat": ("f-1", "f-2"), "dog": ("f-2", "f-3"), "owl": ("f-1",)})

    assert shared.fits == ("f-1", "f-2", "f-3")


def test_fits_of_the_same_parts_are_of_the_same_data_whatever_its_name() -> None:
    parts = ("a" * 64, "b" * 64)
    first = fit(data_digests=parts)

    assert first.fitted_on == fit(data_digests=parts, data="renamed").fitted_on
    assert first.fitted_on != fit(data_digests=parts[:1]).fitted_on
    assert (fit().fitted_on, fit(data="other").fitted_on) == ("old", "other")


def test_a_fit_by_an_old_release_knows_of_no_class_apart() -> None:
    old = fit(data_digests=("a" * 64,))
    new = fit(data_digests=("a" * 64,), class_digests={"cat": "c" * 64})

    assert old.class_data("cat") == old.fitted_on == new.fitted_on
    assert new.class_data("cat") == "c" * 64


def dataset(*parts: tuple[str, str]) -> Dataset:
    """A data set of parts, each of a class and with its digest."""
    train = [SamplePart(target=name, count=1, digest=key * 64, size_bytes=7) for name, key in parts]
    classes = tuple(dict.fromkeys(name for name, _ in parts))
    made = {"id": "pets", "source": "made", "shape": (4,), "dtype": "float32", "classes": classes}
    return Dataset.model_validate({**made, "train": train})


def test_what_a_class_was_trained_on_is_told_apart_from_what_is_beside_it() -> None:
    cats = dataset(("cat", "a"), ("cat", "b")).class_digests

    with_dogs = dataset(("dog", "c"), ("cat", "a"), ("cat", "b")).class_digests

    assert with_dogs["cat"] == cats["cat"]
    assert with_dogs["dog"] != cats["cat"] != dataset(("cat", "a")).class_digests["cat"]
