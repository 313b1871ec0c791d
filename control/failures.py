"""Every error as one line with a remedy, an exit code and a code for scripts. The one place where they are decided.

Exit codes: 0 done, 1 the answer is no, 2 bus, store or network out of reach, 3 timeout, 4 bad arguments, 5 a bug,
130 and 143 ended by SIGINT and SIGTERM.
"""

import re
from dataclasses import dataclass

from pydantic import ValidationError
from typer import Abort, TyperException

from bus.errors import BusError, BusUnavailable, Busy, Unroutable
from control.verbs.errors import Invalid, Refused, Unreachable
from store.errors import NotFound, StoreError, StoreUnavailable

BEGINNING = "Input should be "
ALTERNATIVE = re.compile(
    r"literal\[.*\]|constrained-\w+"
)  # of a field that takes "auto" or a number

DEBUG = "set RDG_DEBUG=1 to see where it was raised"
DOCTOR = "`rdg doctor` looks for the cause"

# The first that fits counts: the special before the general.
CODES: tuple[tuple[type[Exception], int, str, str], ...] = (
    (Invalid, 4, "invalid", ""),
    (Refused, 1, "refused", ""),
    (Unreachable, 2, "unreachable", ""),
    (NotFound, 1, "not_found", ""),
    (StoreUnavailable, 2, "store_unavailable", DOCTOR),
    (StoreError, 1, "store_error", DOCTOR),
    (BusUnavailable, 2, "bus_unavailable", DOCTOR),
    (Busy, 1, "busy", "try again later"),
    (Unroutable, 1, "no_worker", "start one with `rdg up` or `rdg worker`"),
    (BusError, 1, "bus_error", DOCTOR),
    (TimeoutError, 3, "timeout", ""),
    (ModuleNotFoundError, 1, "not_installed", "install the rest: pip install 'rdg-bus[server]'"),
    (ValidationError, 4, "invalid", "see --help"),
    (TyperException, 4, "usage", "see --help"),
    (Abort, 1, "aborted", ""),
    (OSError, 1, "system", ""),
    (ValueError, 4, "invalid", DEBUG),
    (Exception, 5, "internal", f"this is a bug, please report it; {DEBUG}"),
)

NOUNS = {
    "Job": "job",
    "Dataset": "data",
    "Fitted": "generator",
    "Model": "model",
    "ModelVersion": "model",
    "Device": "device",
    "RehearsalSet": "review",
    "Monitor": "monitor",
}


@dataclass(frozen=True)
class Failure:
    """Why a command did not do it.

    Attributes:
        exit_code: Of the process.
        error_code: For scripts; never changes its meaning.
        message: One line for people.
        hint: What to do; may be empty.

    """

    exit_code: int
    error_code: str
    message: str
    hint: str


def explain(error: Exception) -> Failure:
    """Return an error as people and scripts get to see it."""
    if isinstance(error, ExceptionGroup):
        return explain(error.exceptions[0])
    exit_code, error_code, hint = next(
        (exit_code, error_code, hint)
        for kind, exit_code, error_code, hint in CODES
        if isinstance(error, kind)
    )
    remedies = (_hint(error) or hint, *getattr(error, "__notes__", ()))
    return Failure(exit_code, error_code, _message(error), "; ".join(filter(None, remedies)))


def _message(error: Exception) -> str:
    if isinstance(error, Invalid | Refused | Unreachable):
        text = error.problem
    elif isinstance(error, ValidationError):
        text = _fields(error)
    elif isinstance(error, TyperException):
        text = error.format_message()
    else:
        text = str(error)
    return " ".join(text.replace("Value error, ", "").split()).rstrip(".") or type(error).__name__


def _hint(error: Exception) -> str:
    if isinstance(error, Invalid | Refused | Unreachable):
        return error.remedy
    if isinstance(error, NotFound) and error.what in NOUNS:
        return f"`rdg {NOUNS[error.what]} list` shows what there is"
    return ""


def _fields(error: ValidationError) -> str:
    """Return each wrong field: `training.lr: Input should be less than or equal to 1, not 7.0`."""
    said: dict[str, str] = {}
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        field = ".".join(
            str(step) for step in detail["loc"] if not ALTERNATIVE.fullmatch(str(step))
        )
        if error.title == "Settings":
            field = f"RDG_{field.upper()}"
        given, text = detail["input"], detail["msg"]
        found[field] = f", not {given!r}" if isinstance(given, str | int | float) else ""
        said[field] = f"{said[field]} or {text.removeprefix(BEGINNING)}" if field in said else text
    return "; ".join(
        f"{field}: {said[field]}{found[field]}" if field else said[field] for field in said
    )
