"""`rdg device`: the fleet."""

from control.commands import flags
from control.output import Columns, print_all
from control.session import Session, noun, verb
from control.verbs import devices
from schemas.documents import Device

app = noun("Devices and what they run.")

COLUMNS: Columns[Device] = {
    "device": lambda each: each.id,
    "model": lambda each: each.model,
    "version": lambda each: each.version,
    "state": lambda each: each.state,
    "reason": lambda each: each.reason,
    "reported": lambda each: each.reported,
}


@verb(app, "list", example="rdg device list --model digits")
async def list_(
    session: Session,
    model: flags.OfModel = None,
    limit: flags.Limit = 100,
    before: flags.Before = None,
) -> None:
    """List devices, with what each last reported."""
    async with session.store() as store:
        found = await devices.page(store, limit, before, model=model)
    print_all(found, COLUMNS, session.format, "no device has reported yet")
