"""What can go wrong on the bus.

BusError
├── BusUnavailable  the broker cannot be reached, or the connection ended while in use
│   ├── Misconfigured  waiting does not help: the broker, or a setting, has to be changed first
│   └── DeliveryLost   what a delivery came over is gone, so the broker gives the message to somebody else
├── Busy            the broker refuses more for now: a queue is full, or has no leader
├── Unroutable      nobody would ever get this message
├── Unreadable      a body that is not the message it should be; never retried
└── Expired         the body was dropped from the store, because its job is over
Retry               raised by a handler: deliver this message again later
└── DeadlineExceeded  raised for a handler that took longer than its stage allows
"""


class BusError(Exception):
    """The bus could not do it."""


class BusUnavailable(BusError):
    """The broker cannot be reached; check RDG_BUS and that it runs."""


class Misconfigured(BusUnavailable):
    """The bus cannot be used as the broker and the settings are, however long one waits."""


class DeliveryLost(BusUnavailable):
    """The connection that a delivery came over is gone: nothing settles it any more, and it comes again."""


class Busy(BusError):
    """The broker refuses more for now: a queue is full, or has no leader. Try again later."""


class Unroutable(BusError):
    """No queue takes this routing key, so the message would be lost."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"no queue takes {key!r}: is a worker for it installed and its topology declared?"
        )
        self.key = key


class Unreadable(BusError):
    """A body that is not the message it should be."""


class Expired(BusError):
    """The body was dropped from the store, because its job is over."""


class Retry(Exception):
    """Raised by a handler: deliver this message again later; counted, with growing delay."""


class DeadlineExceeded(Retry):
    """A handler was cancelled at its deadline."""

    def __init__(self, stage: str, deadline_s: float) -> None:
        super().__init__(
            f"{stage} was not done by its deadline of {deadline_s:g} s (RDG_DEADLINE_S)"
        )
