"""Why a verb did not do it. Errors of the bus and the store pass through as they are.

VerbError
├── Invalid      a field of the request is wrong: nothing was written; correct it
├── Refused      the request is sound, but the state of things forbids it
└── Unreachable  something outside that the request needs cannot be reached now
"""


class VerbError(Exception):
    """A verb did not do what was asked. `remedy` says what to do about it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class Invalid(VerbError):
    """A field of the request is wrong."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}", remedy)
        self.field = field


class Refused(VerbError):
    """The state of things forbids it."""


class Unreachable(VerbError):
    """Something outside cannot be reached."""


def listed(names: tuple[str, ...] | list[str], at_most: int = 20) -> str:
    """Return names for a person: what there is to choose from."""
    if not names:
        return "there are none yet"
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"there are {', '.join(names[:at_most])}{more}"
