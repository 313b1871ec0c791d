"""What keeps a message that kills its receivers from taking its neighbours with it.

A process that dies loses all that it had fetched, and all of it is counted as lost once more. Worked on together and
always in the same order, the neighbours of the message that kills would reach the delivery limit with it. So what was
lost before is worked on one at a time and in random order: each time, a neighbour has an even chance to be done first.

Who waits for its turn has the message meanwhile, and a broker takes back what somebody has for too long. So the wait is
bounded: after TURN_S the message is postponed, which puts it back into its queue and counts for nothing.
"""

import asyncio
import logging
import random
from contextlib import suppress
from functools import partial

from bus.errors import BusUnavailable, Busy
from bus.handover import hand_on
from bus.transport import Delivery, Receiver

PAUSE_S = 1.0
"""Longest pause before a redelivered message is worked on."""

TURN_S = 180.0
"""Longest wait for the turn. With the longest deadline (25 min) it is less than the half hour of RabbitMQ."""

log = logging.getLogger("rdg.bus")


def isolated(receiver: Receiver, leaving: asyncio.Event) -> Receiver:
    """Return a receiver for one subscription, which gives on the redelivered messages one at a time.

    `leaving` is set once no more is taken.
    """
    turn = asyncio.Lock()

    async def receive(delivery: Delivery) -> None:
        if not delivery.redelivered:
            await receiver(delivery)
            return
        await asyncio.sleep(random.uniform(0, PAUSE_S))  # noqa: S311  not a secret
        if not await _is_taken(turn):
            await _postpone(delivery, leaving)
            return
        try:
            await receiver(delivery)
        finally:
            turn.release()

    return receive


async def _is_taken(turn: asyncio.Lock) -> bool:
    try:
        async with asyncio.timeout(TURN_S):
            return await turn.acquire()
    except TimeoutError:
        return False


async def _postpone(delivery: Delivery, leaving: asyncio.Event) -> None:
    log.warning("bus: no turn for %s within %.0f s, put back", delivery.envelope.key, TURN_S)
    reason = f"no turn within {TURN_S:.0f} s"
    with suppress(BusUnavailable, Busy):  # then it is not settled, and delivered again by that
        await hand_on(partial(delivery.postpone, PAUSE_S, reason), leaving)
