"""What can go wrong on a device.

AgentError
├── Refused     a release, or what is kept of one, must not run here
├── NoModel     nothing runs yet; a release must come first
├── Occupied    another agent uses this state directory
└── Invalid     what the caller gave cannot be used: samples, a file, a name, a folder
"""

MAX_REASON = 1024


class AgentError(Exception):
    """The agent could not do it; the message is one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split())[:MAX_REASON])


class Refused(AgentError):
    """A release, or what is kept of one, must not run here."""


class NoModel(AgentError):
    """Nothing runs yet; a release must come first."""


class Occupied(AgentError):
    """Another agent uses this state directory."""


class Invalid(AgentError):
    """What the caller gave cannot be used."""
