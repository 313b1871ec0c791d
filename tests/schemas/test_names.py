"""Names end in routing keys, files and URLs, so only harmless text may name a thing."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.names import ClassName, Digest, JobId, Name, claims_of, set_of, work_of

READ: dict[str, TypeAdapter[str]] = {
    "name": TypeAdapter(Name),
    "job": TypeAdapter(JobId),
    "class": TypeAdapter(ClassName),
    "digest": TypeAdapter(Digest),
}
HARMFUL = [
    "",
    " ",
    ".",
    "..",
    "a.b",
    "a/b",
    "a b",
    "A",
    "a\n",
    "a\0",
    "#",
    "*",
    "-a",
    "ä",
    "a" * 64,
]


@pytest.mark.parametrize("kind", ["name", "job"])
@pytest.mark.parametrize("text", HARMFUL)
def test_what_could_end_up_as_more_than_a_name_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValidationError):
        READ[kind].validate_python(text)


@pytest.mark.parametrize("text", ["a", "0", "pump-17", "a" * 63])
def test_a_name_is_lower_case_letters_digits_and_dashes(text: str) -> None:
    assert READ["name"].validate_python(text) == text


@pytest.mark.parametrize("text", ["a,b", "", "   ", "a\nb", "a\0", "x" * 65])
def test_a_class_name_has_no_comma_and_no_control_character(text: str) -> None:
    with pytest.raises(ValidationError):
        READ["class"].validate_python(text)


@pytest.mark.parametrize("text", ["7", "Traffic light", "猫", "x" * 64])
def test_a_class_is_called_what_people_call_it(text: str) -> None:
    assert READ["class"].validate_python(f"  {text} ") == text


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "../" + "a" * 61])
def test_a_digest_is_sixty_four_hexadecimal_digits(text: str) -> None:
    with pytest.raises(ValidationError):
        READ["digest"].validate_python(text)


@given(st.text())
def test_no_name_has_a_character_that_routes_or_leads_elsewhere(text: str) -> None:
    try:
        name = READ["name"].validate_python(text)
    except ValidationError:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_owners_of_one_job_are_not_confused() -> None:
    owners = {claims_of("j.1"), set_of("j.1"), work_of("j.1")}

    assert len(owners) == 3


def test_a_job_id_is_a_name() -> None:
    assert get_args(JobId)[1].pattern == get_args(Name)[1].pattern
