"""A device's name and the place of its state, from flags, else from `RDG_*`, else from the machine."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, TypeAdapter, ValidationError

from edge_agent.errors import Invalid
from schemas.names import Name
from schemas.settings import Settings

SCHEMES = ("amqp", "amqps", "unix")

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def read_settings(bus: str = "") -> Settings:
    """Return the process's settings, with the bus given by flag if it is.

    Raises:
        Invalid: A variable is out of its range, or the bus is none that a device can reach.

    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Invalid(f"RDG_{str(first['loc'][0]).upper()}: {first['msg']}") from error
    if bus:
        settings = settings.model_copy(update={"bus": SecretStr(bus)})
    if urlsplit(settings.bus_url).scheme not in SCHEMES:
        raise Invalid("RDG_BUS or --bus: use amqp://…, amqps://… or unix:///path")
    return settings


def checked_name(flag: str, given: str) -> str:
    """Return the name as it is; raise Invalid if it is none."""
    try:
        return _NAME.validate_python(given)
    except ValidationError as error:
        raise Invalid(
            f"{flag} {given!r}: use up to 63 of a-z, 0-9 and -, not a dash first"
        ) from error


def device_name(given: str = "") -> str:
    """Return the given name, else the host's made legal: "Pump_7.local" becomes "pump-7-local"."""
    if given:
        return checked_name("--device", given)
    legal = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")
    return legal[:63] or "device"


def state_folder(settings: Settings, device: str) -> Path:
    """Return where a device keeps its state if no other place is given."""
    return settings.home / "agents" / device
