"""A connection to RabbitMQ that is tried again after pauses that grow with the time that the broker is away.

Processes lose a broker together. No two of their pauses are alike, so that they do not come back together.
"""

import random
import time

from aio_pika import RobustConnection

SHORTEST_S, LONGEST_S = 0.5, 10.0


class Reconnecting(RobustConnection):
    """The driver's own connection, which asks for the interval before each try.

    Attributes:
        away_since: When it was lost, by time.monotonic(); None: it is there.

    """

    away_since: float | None = None

    @property
    def reconnect_interval(self) -> float:
        """Return the pause before the next try, in seconds: at most a quarter of the time since the loss."""
        away_s = 0.0 if self.away_since is None else time.monotonic() - self.away_since
        longest_s = min(max(away_s / 4, SHORTEST_S), LONGEST_S)
        return longest_s * random.uniform(0.5, 1)  # noqa: S311  not a secret

    @reconnect_interval.setter
    def reconnect_interval(self, _: float) -> None:
        """Leave it: the driver would set one that does not grow."""
