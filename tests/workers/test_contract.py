"""The contract for workers in any language: current, complete and well formed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from bus.wire import encode
from learning.generators import BUILT_IN
from schemas.documents import DOCUMENTS, Document
from schemas.flow import FLOW
from schemas.message import Message
from store.rules import write_document
from tests.schemas.messages import examples
from workers import contract
from workers.contract import FOLDER, asyncapi, documents, files, main
from workers.pipeline import PIPELINE, described

EXAMPLES = 8  # of each type

Sent = extend(  # msgpack has bytes, which JSON Schema has no name for
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "string", lambda _, value: isinstance(value, str | bytes)
    ),
)


def resolved(document: dict[str, Any], reference: str) -> Any:
    """What a JSON pointer within the document points to; KeyError if nothing."""
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_committed_files_are_those_of_the_types() -> None:
    stale = [name for name, text in files().items() if (FOLDER / name).read_text() != text]

    assert stale == [], "run `python -m workers.contract`"


def test_every_message_has_a_channel_that_names_it() -> None:
    document = asyncapi()

    for kind in FLOW:
        channel = document["channels"][kind.topic]
        assert channel["address"].startswith(kind.topic)
        message = resolved(document, channel["messages"][kind.__name__]["$ref"])
        payload = resolved(document, message["payload"]["$ref"])
        assert set(kind.model_fields) == set(payload["properties"])


def test_a_routed_channel_says_by_what() -> None:
    channel = asyncapi()["channels"]["generation.requested.v1"]

    assert channel["address"] == "generation.requested.v1.{generator}"
    assert set(channel["parameters"]) == {"generator"}


def test_every_reference_leads_somewhere() -> None:
    for document in (asyncapi(), documents()):
        for reference in references(document):
            assert resolved(document, reference), reference


def test_every_stage_sends_and_receives_what_it_says() -> None:
    operations = asyncapi()["operations"]

    expected = {
        f"{stage.name}.{action}.{kind.__name__}"
        for stage in described(PIPELINE, BUILT_IN)
        for action, kinds in (("receive", stage.consumes), ("send", stage.produces))
        for kind in kinds
    }

    assert set(operations) == expected


def test_every_schema_is_json_schema() -> None:
    schemas = {**asyncapi()["components"]["schemas"], **documents()["$defs"]}

    assert {kind.__name__ for kind in (*FLOW, *DOCUMENTS)} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_arrays_say_what_they_may_hold() -> None:
    samples = asyncapi()["components"]["schemas"]["SamplesGenerated"]["properties"]["samples"]

    assert samples["x-rdg-array"] == {"dtypes": ["uint8", "float32"], "dimensions": [2, 4]}


@pytest.mark.parametrize("kind", FLOW, ids=lambda kind: kind.__name__)
def test_what_is_sent_is_what_the_contract_says(kind: type[Message]) -> None:
    document = asyncapi()
    contract_of = {"$ref": f"#/components/schemas/{kind.__name__}", **document}
    reader = Sent(contract_of)

    for message in examples(kind, EXAMPLES):
        reader.validate(msgpack.unpackb(encode(message, "here").body))


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_what_is_stored_is_what_the_contract_says(kind: type[Document]) -> None:
    reader = Draft202012Validator({"$ref": f"#/$defs/{kind.__name__}", **documents()})

    for document in examples(kind, EXAMPLES):
        reader.validate(json.loads(write_document(document)))


def test_a_type_that_changed_without_its_document_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contract, "FOLDER", tmp_path)
    assert main([]) == 0
    assert main(["--check"]) == 0
    changed = json.loads((tmp_path / "documents.json").read_text())
    changed["$defs"]["Job"]["properties"].pop("attempt")
    (tmp_path / "documents.json").write_text(json.dumps(changed))

    assert main(["--check"]) == 1

    assert capsys.readouterr().err == (
        "out of date: documents.json; run python -m workers.contract\n"
    )
