"""The contract on the wire for workers in any language: an AsyncAPI 3 document and JSON Schemas, made from the types.

`python -m workers.contract` writes docs/formats/; `--check` compares, and fails where somebody changed a type without
its document.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from bus.stage import AnyStage
from bus.wire import CONTENT_TYPE
from learning.generators import BUILT_IN
from schemas.documents import DOCUMENTS
from schemas.flow import FLOW
from schemas.message import Message
from workers.pipeline import PIPELINE, described

FOLDER = Path(__file__).parents[1] / "docs" / "formats"
REF = "#/components/schemas/{model}"


def files() -> dict[str, str]:
    """Return the text of each generated file by name."""
    return {"asyncapi.json": _text(asyncapi()), "documents.json": _text(documents())}


def asyncapi() -> dict[str, Any]:
    """Return every channel, message and operation of the pipeline as AsyncAPI 3."""
    messages, definitions = TypeAdapter.json_schemas(
        [(kind, "validation", TypeAdapter(kind)) for kind in FLOW], ref_template=REF
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "RDG",
            "version": "1",
            "description": "Rehearsal over a message bus. Bodies and arrays: docs/formats/wire.md.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {kind.topic: _channel(kind) for kind in FLOW},
        "operations": dict(_operations(described(PIPELINE, BUILT_IN))),
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in FLOW},
            "schemas": {
                **definitions["$defs"],
                **{
                    kind.__name__: _inline(messages[kind, "validation"], definitions)
                    for kind in FLOW
                },
            },
        },
    }


def documents() -> dict[str, Any]:
    """Return the JSON Schema of everything the store keeps."""
    _, schema = TypeAdapter.json_schemas(
        [(kind, "serialization", TypeAdapter(kind)) for kind in DOCUMENTS]
    )
    return schema


def _inline(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return cast(dict[str, Any], definitions["$defs"][name]) if name else schema


def _channel(kind: type[Message]) -> dict[str, Any]:
    """Return a message's channel; one that is routed by a value has that value as a parameter."""
    exchange = {"name": "rdg.work", "type": "topic", "durable": True}
    binding: dict[str, Any] = {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}
    if kind.delivery == "log":
        queue = {"name": f"rdg.log.{kind.topic}", "durable": True}
        binding = {"is": "queue", "queue": queue, "bindingVersion": "0.3.0"}
    channel: dict[str, Any] = {
        "address": kind.topic,
        "description": f"{kind.delivery}: {_summary(kind)}",
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "bindings": {"amqp": binding},
    }
    if kind.routed_by:
        name = kind.routed_by.rpartition(".")[2]
        channel["address"] += f".{{{name}}}"
        channel["parameters"] = {name: {"description": f"The message's {kind.routed_by}."}}
    return channel


def _message(kind: type[Message]) -> dict[str, Any]:
    return {
        "name": kind.topic,
        "title": kind.__name__,
        "summary": _summary(kind),
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _operations(stages: Iterable[AnyStage]) -> Iterable[tuple[str, dict[str, Any]]]:
    for stage in stages:
        for action, kinds in (("receive", stage.consumes), ("send", stage.produces)):
            for kind in kinds:
                channel = f"#/channels/{kind.topic}"
                yield (
                    f"{stage.name}.{action}.{kind.__name__}",
                    {
                        "action": action,
                        "channel": {"$ref": channel},
                        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
                    },
                )


def _summary(kind: type[Message]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` say which differ; 0 if all is well."""
    stale = []
    for name, text in files().items():
        path = FOLDER / name
        if "--check" in arguments:
            if not path.exists() or path.read_text() != text:
                stale.append(name)
        else:
            path.write_text(text)
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python -m workers.contract\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
