"""Every message of the flow: it survives the wire, old and new read each other, and limits refuse."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from bus.errors import Unreadable
from bus.wire import decode, encode
from schemas import flow
from schemas.flow import FLOW, DeviceReported, Order, Progress, RehearsalSetReady, ReviewDecided
from schemas.message import JobMessage, Message
from schemas.model import Manifest
from tests.schemas.messages import any_of, example, fields_of

LIGHT = settings(max_examples=25, deadline=None)

any_message: st.SearchStrategy[Message] = st.sampled_from(FLOW).flatmap(any_of)
every_type = pytest.mark.parametrize("kind", FLOW, ids=lambda kind: kind.__name__)

ORDER = {
    "shard": 0,
    "shards": 1,
    "generator": "gmm",
    "fitted": "gmm-1",
    "target": "a cat",
    "count": 1,
    "seed": 0,
}


Damage = Callable[[bytes], bytes]

damage: st.SearchStrategy[Damage] = st.one_of(
    st.tuples(st.integers(0, 2**16), st.integers(1, 255)).map(lambda at: partial(flipped, *at)),
    st.tuples(st.integers(0, 2**16), st.binary(max_size=9)).map(lambda at: partial(spliced, *at)),
    st.integers(0, 2**16).map(lambda at: partial(cut, at)),
)


def flipped(place: int, bits: int, body: bytes) -> bytes:
    changed = bytearray(body)
    changed[place % len(body)] ^= bits
    return bytes(changed)


def spliced(place: int, inserted: bytes, body: bytes) -> bytes:
    place %= len(body)
    return body[:place] + inserted + body[place:]


def cut(place: int, body: bytes) -> bytes:
    return body[: place % len(body)]


def with_more(value: object, sent: Any) -> Any:
    """What was sent of a value, where every model in it has a field that is not known yet."""
    if isinstance(value, BaseModel):
        known = {name: with_more(getattr(value, name), each) for name, each in sent.items()}
        return known | {"added-later": [1, {"nested": None}]}
    if isinstance(value, tuple):
        return [with_more(*each) for each in zip(value, sent, strict=True)]
    return sent


def received(kind: type[Message], body: bytes) -> Message:
    return decode(body, kind.topic, {kind.topic: kind})


@every_type
@given(data=st.data())
@LIGHT
def test_a_message_comes_off_the_wire_as_it_went_on(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(any_of(kind))
    sent = encode(message, "here")

    again = received(kind, sent.body)

    assert type(again) is kind
    assert fields_of(again) == fields_of(message)
    assert again.key == message.key == sent.key


@every_type
@given(data=st.data())
@LIGHT
def test_an_old_reader_ignores_what_a_new_writer_adds(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(any_of(kind))
    body: dict[str, Any] = msgpack.unpackb(encode(message, "here").body)
    body["added-later"] = {"nested": [1]}

    assert fields_of(received(kind, msgpack.packb(body))) == fields_of(message)


@every_type
@given(data=st.data())
@LIGHT
def test_a_new_reader_fills_in_what_an_old_writer_does_not_send(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(any_of(kind))
    optional = [name for name, field in kind.model_fields.items() if not field.is_required()]
    body: dict[str, Any] = msgpack.unpackb(encode(message, "here").body)
    for name in optional:
        del body[name]

    again = received(kind, msgpack.packb(body))

    for name in optional:
        assert getattr(again, name) == kind.model_fields[name].get_default(
            call_default_factory=True
        )


@every_type
@given(data=st.data())
@LIGHT
def test_an_old_reader_ignores_what_a_new_writer_adds_at_any_depth(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(any_of(kind))
    grown = with_more(message, msgpack.unpackb(encode(message, "here").body))

    assert fields_of(received(kind, msgpack.packb(grown))) == fields_of(message)


@every_type
def test_a_field_that_must_be_there_and_is_not_is_named(kind: type[Message]) -> None:
    message = example(kind)
    required = [name for name, field in kind.model_fields.items() if field.is_required()]
    body: dict[str, Any] = msgpack.unpackb(encode(message, "here").body)

    for name in required:
        without = {key: value for key, value in body.items() if key != name}
        with pytest.raises(Unreadable, match=f"not a {kind.topic}: {name}: Field required"):
            received(kind, msgpack.packb(without))


@given(any_message, damage)
@settings(max_examples=200, deadline=None)
def test_a_damaged_body_is_a_message_or_unreadable(message: Message, harm: Damage) -> None:
    body, problem = harm(encode(message, "here").body), ""

    try:
        assert type(received(type(message), body)) is type(message)
    except Unreadable as error:
        problem = str(error)

    assert problem.isprintable()
    assert len(problem) < 2000


@given(st.sampled_from(FLOW), st.binary(max_size=64))
@LIGHT
def test_any_bytes_are_unreadable_as_any_message(kind: type[Message], body: bytes) -> None:
    with pytest.raises(Unreadable):
        received(kind, body)


@given(any_message)
@LIGHT
def test_the_routing_key_is_the_topic_and_what_it_is_routed_by(message: Message) -> None:
    topic, _, route = message.key.partition(".v1")

    assert f"{topic}.v1" == message.topic
    assert bool(route) == bool(message.routed_by)
    assert " " not in message.key


def test_topics_are_distinct_and_carry_their_version() -> None:
    topics = [kind.topic for kind in FLOW]

    assert len(set(topics)) == len(topics)
    assert all(topic.endswith(".v1") for topic in topics)


def test_the_flow_lists_every_message_of_its_file() -> None:
    defined = {
        value
        for value in vars(flow).values()
        if isinstance(value, type) and issubclass(value, Message) and hasattr(value, "topic")
    }

    assert set(FLOW) == defined


def test_what_is_not_on_behalf_of_a_job_is_about_devices() -> None:
    free = {kind.__name__ for kind in FLOW if not issubclass(kind, JobMessage)}

    assert free == {"ModelReleased", "DeviceReported"}


@pytest.mark.parametrize(
    "change",
    [
        {"shard": -1},
        {"shards": 0},
        {"count": 0},
        {"count": 100_001},
        {"seed": -1},
        {"seed": 2**64},
        {"generator": "GMM"},
        {"generator": "../gmm"},
        {"fitted": ""},
        {"target": "a,b"},
        {"options": {"Bad Name": 1}},
        {"options": {"rate": float("nan")}},
        {"options": {f"option-{i}": i for i in range(65)}},
    ],
)
def test_an_order_beyond_its_limits_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Order.model_validate(ORDER | change)


@pytest.mark.parametrize(
    "change",
    [
        {"mean_confidence": {"cat": 1.01}},
        {"mean_confidence": {"cat": -0.01}},
        {"mean_confidence": {"cat": float("nan")}},
        {"balance": 1.5},
        {"counts": {"a,b": 1}},
        {"job": "Job 1"},
    ],
)
def test_figures_of_a_set_beyond_their_range_are_refused(change: dict[str, Any]) -> None:
    ready = {"job": "j-1", "counts": {"cat": 1}, "mean_confidence": {"cat": 0.5}, "balance": 1}
    RehearsalSetReady.model_validate(ready)

    with pytest.raises(ValidationError, match=next(iter(change))):
        RehearsalSetReady.model_validate(ready | change)


@pytest.mark.parametrize("kind", [ReviewDecided, DeviceReported, Progress])
def test_a_text_for_people_is_bounded(kind: type[Message]) -> None:
    field = kind.model_fields.get("reason") or kind.model_fields["note"]

    assert any(getattr(limit, "max_length", None) == 1024 for limit in field.metadata)


def test_a_report_without_a_time_zone_is_refused() -> None:
    report = {"device": "d", "model": "m", "state": "running", "at": "2025-01-01T12:00:00"}

    with pytest.raises(ValidationError, match=r"at\n.*timezone"):
        DeviceReported.model_validate(report)


@given(any_of(Manifest))
@LIGHT
def test_a_manifest_survives_json_as_devices_keep_it(manifest: Manifest) -> None:
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
