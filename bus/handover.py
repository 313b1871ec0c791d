"""Handing a message on to where it waits or is kept, while the bus may refuse to take it there.

The queue of what waits may be full, or without a leader, for a while. A message that is handed back at once comes again
at once and counts as lost each time: an innocent one would be a dead letter within a minute. So whoever has it holds
it, and tries again after pauses that grow.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from bus.errors import BusUnavailable, Busy, DeliveryLost
from bus.inflight import waited

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
HOLD_S = 90.0
"""Longest time to hold. With the longest deadline (25 min) and wait for a turn, less than the half hour of RabbitMQ."""

log = logging.getLogger("rdg.bus")


async def hand_on(settle: Callable[[], Awaitable[None]], leaving: asyncio.Event) -> None:
    """Settle a delivery by retry, postpone or bury, trying again for HOLD_S, or until `leaving` is set.

    Raises:
        BusUnavailable, Busy: It could not be done; return without having settled, and the message is delivered again.

    """
    clock = asyncio.get_running_loop().time
    end, pause_s = clock() + HOLD_S, FIRST_PAUSE_S
    while True:
        try:
            return await settle()
        except DeliveryLost:
            raise
        except (BusUnavailable, Busy) as error:
            is_over = clock() + pause_s > end
            if is_over or await waited(leaving, pause_s * random.uniform(0.5, 1)):  # noqa: S311  not a secret
                log.warning("bus: a message can be put nowhere, and is handed back: %s", error)
                raise
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
