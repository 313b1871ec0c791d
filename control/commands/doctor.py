"""`rdg doctor`: is this installation well?"""

import typer

from control.diagnosis import Check, diagnose
from control.output import Columns, print_all
from control.session import Session, verb

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

COLUMNS: Columns[Check] = {
    "": lambda each: each.status,
    "check": lambda each: each.name,
    "found": lambda each: each.found,
    "what to do": lambda each: each.remedy,
}


@verb(app, "doctor", example="rdg doctor")
async def doctor(session: Session) -> None:
    """Check this machine, the bus, the store and the workers; exits 1 if something fails."""
    checks = await diagnose(session.settings)
    print_all(checks, COLUMNS, session.format, "")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
