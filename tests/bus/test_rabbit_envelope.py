"""Whatever a publisher wrote into the headers: an envelope, an attempt and a dead letter come of it."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from aiormq.abc import DeliveredMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from bus.rabbit_envelope import (
    ATTEMPT,
    KEPT,
    KEY,
    MAX_HEADER_BYTES,
    MAX_TRACE_BYTES,
    POSTPONED,
    attempt_of,
    envelope_of,
    letter_of,
    properties_of,
)
from bus.transport import DEATH, Envelope, buried

QUICK = settings(max_examples=60, deadline=None)
NAMES = ("x-death", KEY, ATTEMPT, "ce-id", "ce-type", "ce-time", "traceparent", *DEATH)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reason", "routing-keys", "time"]) | st.text(), inner, max_size=3
        )
    ),
    max_leaves=6,
)
any_headers = st.dictionaries(st.sampled_from(NAMES) | st.text(), values, max_size=6)


def delivered(headers: dict[str, Any], message_id: str | None = "1") -> DeliveredMessage:
    properties = Basic.Properties(headers=headers, message_id=message_id)
    return DeliveredMessage(
        delivery=Basic.Deliver(routing_key="orders", delivery_tag=1),
        header=ContentHeader(properties=properties),
        body=b"body",
        channel=cast(Any, None),
    )


@given(any_headers, st.none() | st.text(max_size=3))
@QUICK
def test_any_headers_give_an_envelope_of_texts(
    headers: dict[str, Any], message_id: str | None
) -> None:
    envelope = envelope_of(delivered(headers, message_id))

    assert all(isinstance(value, str) for value in envelope.headers.values())
    assert isinstance(envelope.key, str)
    assert isinstance(envelope.id, str)


@given(any_headers)
@QUICK
def test_any_headers_give_a_dead_letter_that_says_how_it_died(headers: dict[str, Any]) -> None:
    letter = letter_of(delivered(headers), "packing.orders")

    assert set(DEATH) <= letter.headers.keys()
    assert all(isinstance(value, str) for value in letter.headers.values())


@pytest.mark.parametrize("death", ["text", {}, [], ["text"], [[]], {"reason": "x"}, 7])
def test_a_death_that_the_broker_did_not_write_says_nothing(death: object) -> None:
    letter = letter_of(delivered({"x-death": death}), "packing.orders")

    assert letter.key == "orders"
    assert letter.headers["rdg-reason"] == "unknown: buried by the broker"


@pytest.mark.parametrize("claimed", ["", "-1", "1e9", "x", "²", "9" * 10, "9" * 5000, None, 2.5])
def test_an_attempt_that_is_none_counts_as_the_first(claimed: object) -> None:
    assert attempt_of(delivered({ATTEMPT: claimed})) == 1


@given(st.dictionaries(st.sampled_from(["ce-id", "ce-type", "ce-subject"]), st.text(), max_size=3))
@QUICK
def test_an_envelope_comes_back_as_it_went(headers: dict[str, str]) -> None:
    sent = Envelope("orders", "1", b"body", headers)
    properties = properties_of(sent)
    received = replace(delivered({}), header=ContentHeader(properties=properties))

    assert envelope_of(received) == sent


def test_a_time_of_death_is_told_in_utc() -> None:
    death = {"reason": "rejected", "time": datetime(2025, 1, 1, tzinfo=UTC)}

    letter = letter_of(delivered({"x-death": [death]}), "packing.orders")

    assert letter.headers["rdg-died"] == "2025-01-01T00:00:00+00:00"


def test_only_headers_of_the_format_are_kept_and_only_up_to_a_limit() -> None:
    fits, too_long = "é" * (MAX_HEADER_BYTES // 2), "é" * (MAX_HEADER_BYTES // 2) + "x"
    headers = {"ce-id": fits, "ce-source": too_long, "ce-foreign": "x", "foreign": "x", KEY: "k"}

    envelope = envelope_of(delivered(headers))

    assert (envelope.key, envelope.headers) == ("k", {"ce-id": fits})


def test_a_first_key_that_can_be_none_is_left_out() -> None:
    assert envelope_of(delivered({KEY: "k" * 256})).key == "orders"
    assert letter_of(delivered({"x-death": [{"routing-keys": ["k" * 256]}]}), "q").key == "orders"


def test_headers_that_no_property_holds_do_not_keep_a_message_from_being_settled() -> None:
    headers = {"ce-type": "t" * 300, "ce-subject": "s" * 300}

    properties = properties_of(envelope_of(delivered(headers)))

    assert properties.marshal()
    assert (properties.message_type, properties.correlation_id) == (None, None)
    assert properties.headers == headers


@given(st.text(), st.characters())
@QUICK
def test_a_dead_letter_is_cut_by_bytes(text: str, character: str) -> None:
    reason, trace = text + character * 20_000, character * 20_000 + "the end"
    letter = buried(Envelope("orders", "1", b"", {}), "q", 1, reason, trace)

    properties = properties_of(letter)

    headers = cast(dict[str, str], properties.headers)
    assert len(headers["rdg-reason"].encode()) <= MAX_HEADER_BYTES
    assert len(headers["rdg-trace"].encode()) <= MAX_TRACE_BYTES
    assert headers["rdg-trace"].endswith("the end")
    read = letter_of(delivered({"rdg-reason": reason, "rdg-trace": trace}), "q").headers
    assert read["rdg-reason"] == headers["rdg-reason"]
    assert read["rdg-trace"] == headers["rdg-trace"]


def test_every_header_of_the_format_is_known() -> None:
    wire = Path(__file__).parents[2].joinpath("docs/formats/wire.md").read_text()
    named = set(re.findall(r"`((?:ce-|rdg-|trace)[a-z-]+)`", wire))

    assert named == KEPT | {KEY, ATTEMPT, POSTPONED, "rdg-retried", *DEATH}
