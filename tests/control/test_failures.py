import pytest
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings
from typer import BadParameter

from bus.errors import BusError, BusUnavailable, Busy, Unroutable
from control.failures import CODES, explain
from control.verbs.errors import Invalid, Refused, Unreachable
from schemas.job import RehearsalSpec
from schemas.settings import Settings
from store.errors import Conflict, Damaged, NotFound, StoreUnavailable


def invalid(kind: type[BaseModel] | type[BaseSettings], **fields: object) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        kind.model_validate(fields)
    return raised.value


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (Refused("no"), 1),
        (NotFound("Job", "j-1"), 1),
        (Conflict("twice"), 1),
        (Damaged("bits"), 1),
        (BusError("large"), 1),
        (Unroutable("planning"), 1),
        (Busy("full"), 1),
        (PermissionError("no right"), 1),
        (ModuleNotFoundError("No module named 'torch'"), 1),
        (BusUnavailable("gone"), 2),
        (StoreUnavailable("gone"), 2),
        (Unreachable("host"), 2),
        (TimeoutError("late"), 3),
        (Invalid("field", "bad", "do"), 4),
        (BadParameter("bad"), 4),
        (ValueError("bad"), 4),
        (KeyError("bug"), 5),
        (AssertionError(), 5),
    ],
)
def test_every_error_has_its_exit_code_and_a_line(error: Exception, exit_code: int) -> None:
    failure = explain(error)
    assert failure.exit_code == exit_code
    assert failure.message
    assert "\n" not in failure.message


def test_no_rule_is_hidden_by_one_before_it() -> None:
    kinds = [kind for kind, *_ in CODES]
    hidden = [
        later.__name__
        for place, later in enumerate(kinds)
        if any(issubclass(later, earlier) for earlier in kinds[:place])
    ]
    assert hidden == []


def test_a_group_is_explained_by_its_first_error() -> None:
    inner = ExceptionGroup("tasks", [BusUnavailable("gone")])
    assert explain(ExceptionGroup("tasks", [inner])).error_code == "bus_unavailable"


def test_a_note_is_part_of_the_remedy() -> None:
    error = BusUnavailable("gone")
    error.add_note("`rdg job retry j-1` asks again")
    assert explain(error).hint.endswith("; `rdg job retry j-1` asks again")


def test_a_missing_document_says_what_lists_them() -> None:
    assert explain(NotFound("Dataset", "x")).hint == "`rdg data list` shows what there is"


def test_a_wrong_field_is_named_with_what_was_given() -> None:
    error = invalid(RehearsalSpec, model="a", new_data="b", training={"lr": 7})
    assert explain(error).message.startswith("training.lr: ")
    assert explain(error).message.endswith("not 7")


def test_a_wrong_setting_is_named_as_in_the_environment() -> None:
    assert explain(invalid(Settings, prefetch=0)).message.startswith("RDG_PREFETCH: ")
