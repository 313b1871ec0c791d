"""Ids that derive from what they come of, and keys that route."""

from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas.message import UNSTAMPED, Message, derived_id

steps = st.lists(
    st.one_of(st.integers(), st.sampled_from(["generation", "samples.v1"])), max_size=4
)


class Address(BaseModel):
    street: str


class Parcel(Message):
    topic: ClassVar[str] = "parcel.v1"
    routed_by: ClassVar[str] = "address.street"
    address: Address


class Letter(Message):
    topic: ClassVar[str] = "letter.v1"
    text: str = ""


@given(st.uuids(), steps)
def test_the_same_parent_and_path_give_the_same_id(parent: UUID, path: list[object]) -> None:
    assert derived_id(parent, *path) == derived_id(parent, *path)


@given(st.uuids(), steps, steps)
def test_another_path_gives_another_id(
    parent: UUID, path: list[object], other: list[object]
) -> None:
    same = [str(step) for step in path] == [str(step) for step in other]

    assert (derived_id(parent, *path) == derived_id(parent, *other)) == same


@given(st.uuids(), st.uuids())
def test_another_parent_gives_another_id(parent: UUID, other: UUID) -> None:
    assert (derived_id(parent, "x") == derived_id(other, "x")) == (parent == other)


def test_an_id_is_the_same_in_every_version_of_the_code() -> None:
    assert derived_id("j-1.1", "training") == UUID("b428bd4c-0574-5b2d-a90d-1f5083292d36")


def test_a_name_is_a_parent_too_and_none_is_unstamped() -> None:
    assert derived_id("j-1.1") != derived_id("j-1.2") != UNSTAMPED


def test_the_key_of_a_routed_message_ends_in_the_value() -> None:
    assert Parcel(address=Address(street="north")).key == "parcel.v1.north"
    assert Letter().key == "letter.v1"


def test_a_message_cannot_be_changed() -> None:
    letter = Letter(id=uuid4(), text="hello")

    with pytest.raises(ValidationError, match="frozen"):
        letter.text = "bye"  # type: ignore[misc]  # that is the point


def test_a_message_has_no_id_until_it_is_stamped() -> None:
    assert Letter().id == UNSTAMPED
