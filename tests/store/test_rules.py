"""What the engines share: whatever text stands in the place of a document, it is that document or Damaged."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.documents import (
    DOCUMENTS,
    Device,
    Document,
    Job,
    Model,
    RehearsalSet,
    SamplePart,
)
from schemas.job import FitSpec
from schemas.limits import MAX_ENTRIES
from store import rules
from store.errors import Damaged
from store.rules import read_document, write_document
from tests.schemas.messages import any_of, example

LIGHT = settings(max_examples=25, deadline=None)

every_type = pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "spec", "parts"]), inner)
    ),
    max_leaves=8,
)


def damaged(body: str, kind: type[Document] = Job) -> str:
    """What is said of a body that is no document."""
    with pytest.raises(Damaged) as refusal:
        read_document(kind, "the-key", body)
    said = str(refusal.value)
    assert said.startswith(f"{kind.__name__} 'the-key' cannot be read: ")
    assert len(said) < 2000
    assert said.isprintable()
    return said


@every_type
@given(data=st.data())
@LIGHT
def test_a_document_is_read_as_it_was_written(kind: type[Document], data: st.DataObject) -> None:
    document = data.draw(any_of(kind))

    assert read_document(kind, document.id, write_document(document)) == document


@every_type
@given(data=st.data())
@LIGHT
def test_a_field_that_is_not_known_yet_is_ignored(
    kind: type[Document], data: st.DataObject
) -> None:
    document = data.draw(any_of(kind))
    body = json.loads(write_document(document)) | {"added-later": {"nested": [1]}}

    assert read_document(kind, document.id, json.dumps(body)) == document


def test_what_a_newer_release_lets_a_publisher_ask_for_is_ignored() -> None:
    document = example(Job)
    body = json.loads(write_document(document))
    body["spec"]["added-later"] = 1

    assert read_document(Job, document.id, json.dumps(body)) == document


@given(st.text() | any_json.map(json.dumps))
@settings(max_examples=200, deadline=None)
def test_any_text_is_damaged(body: str) -> None:
    damaged(body)


@given(any_of(Job), st.integers(0, 2**16), st.text(max_size=4), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_a_document_with_a_fault_is_a_document_or_damaged(
    job: Job, place: int, inserted: str, removed: int
) -> None:
    body = write_document(job)
    place %= len(body)
    body = body[:place] + inserted + body[place + removed :]

    try:
        assert isinstance(read_document(Job, "the-key", body), Job)
    except Damaged:
        damaged(body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("[" * 100_000, "body: Invalid JSON: recursion limit exceeded"),
        ('{"a":' * 100_000, "body: Invalid JSON: recursion limit exceeded"),
        (
            '{"id": "a", "released": ' + "9" * 10_000 + "}",
            "body: Invalid JSON: number out of range",
        ),
        ('{"id": "a", "released": 9223372036854775808}', "released: Input should be"),
        ('{"id": "a", "released": NaN}', "released: Input should be"),
        ('{"id": "a", "created": "9999-99-99"}', "created: Input should be a valid datetime"),
        ('{"id": "' + "a" * 10**6 + '"}', "id: String should have at most 128 characters"),
        ('{"id": "\\ud800"}', "body: Invalid JSON: unexpected end of hex escape"),
        ('{"id": "\ud800"}', "body: "),
        ('{"id": null}', "id: Input should be a valid string"),
        ("\0", "body: Invalid JSON"),
    ],
)
def test_a_harmful_document_is_damaged_and_the_fault_is_named(body: str, problem: str) -> None:
    assert problem in damaged(body, Model)


def test_names_that_a_document_chose_are_cut_and_escaped() -> None:
    fitting = FitSpec(model="m", generator="gmm", data="d")
    job = Job(id="a", token="t", model="m", spec=fitting)
    body = json.loads(write_document(job)) | {"fitted": {"\n" * 10_000: "gmm"}}

    assert r"fitted.'\n\n\n" in damaged(json.dumps(body))


def test_a_document_beyond_what_is_written_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_DOCUMENT_BYTES", 10)

    assert damaged("x" * 11).endswith("it has 11 bytes, the limit is 10")


@pytest.mark.parametrize(
    "reason", ["[" * 1000, ",{[" * 300, '",{[' * 200, "\\" * 501 + '",' * 200, '\\"[' * 300]
)
def test_what_strings_hold_is_no_value(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_VALUES", 16)

    device = Device(
        id="d", model="m", version=1, state="running", reason=reason, reported=datetime.now(UTC)
    )

    assert read_document(Device, "d", write_document(device)) == device


def test_a_set_of_any_class_names_is_read_as_it_was_written() -> None:
    names = ["[{" * 29 + f"{number:06}" for number in range(MAX_ENTRIES)]
    shares = dict.fromkeys(names, 1.0)
    kept = RehearsalSet(
        id="j.1",
        job="j",
        model="m",
        generator="gmm",
        fitted=(),
        parts=[SamplePart(target=name, count=1, digest="0" * 64, size_bytes=1) for name in names],
        counts=dict.fromkeys(names, 1),
        mean_confidence=shares,
        balance=1.0,
        distances=shares,
    )

    assert read_document(RehearsalSet, "j.1", write_document(kept)) == kept


@pytest.mark.parametrize(("limit", "number"), [("MAX_VALUES", 16), ("MAX_DOCUMENT_BYTES", 500)])
def test_what_would_not_be_read_is_not_written_and_the_largest_field_is_named(
    limit: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = FitSpec(model="m", generator="gmm", data="d")
    fitted = {f"class {number}": ("gmm",) for number in range(30)}
    job = Job(id="a", token="t", model="m", spec=fitting, fitted=fitted)
    body = write_document(job)
    monkeypatch.setattr(rules, limit, number)

    assert str(number) in damaged(body)
    with pytest.raises(
        ValueError, match=rf"Job 'a': it has .*{number}.*, most of it in fitted: keep"
    ):
        write_document(job)


@pytest.mark.parametrize(
    "body", ['["' + "a" * 100, '[""' * 100, '["' + '\\"' * 100, '"",' * 100, "[" * 100, '""' * 100]
)
def test_text_that_is_no_json_is_damaged_whatever_its_strings(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_VALUES", 16)

    damaged(body)
