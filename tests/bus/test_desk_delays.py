"""How long a message is put off, and how long it is said to have waited, whatever it says itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bus.errors import BusUnavailable, Busy
from bus.memory import MemoryTransport
from bus.transport import Envelope, Receiver, Subscription
from bus.wire import encode
from schemas.flow import RehearsalRequested
from schemas.message import JobMessage, Message
from tests.bus.desk import PLANNING, Desk, StoreAway, failing
from tests.bus.inbox import Watched, WatchedDelivery


@pytest.mark.parametrize(
    ("retry_s", "error", "delays_s"),
    [
        (0.5, Busy("no room"), [1, 1, 1, 1, 1]),
        (3, Busy("no room"), [3, 3, 3, 3, 3]),
        (3, StoreAway("no answer"), [3, 6, 12, 24, 48]),
        (3, BusUnavailable("not confirmed"), [3, 6, 12, 24, 48]),
    ],
)
async def test_who_waits_for_room_looks_as_often_the_fifth_time_as_the_first(
    watched: Watched, retry_s: float, error: Exception, delays_s: list[float]
) -> None:
    desk, delays = Desk(watched), []
    handle, _ = failing(*[error] * 5)

    async def postpone(self: WatchedDelivery, delay_s: float, reason: str) -> None:
        delays.append(delay_s)
        await self._delivery.postpone(0.01, reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchedDelivery, "postpone", postpone)
        async with desk.working(handle, retry_s=retry_s):
            await desk.request()
            await desk.outputs.holds(1)

    assert delays == delays_s


@pytest.mark.parametrize(
    ("made", "least_s", "most_s"),
    [
        (datetime.now(UTC) - timedelta(hours=1), 3600, 7200),
        (datetime.now(UTC) + timedelta(hours=1), 0, 0),
    ],
)
async def test_age_of_a_message_is_never_less_than_nothing(
    desk: Desk, made: datetime, least_s: float, most_s: float
) -> None:
    handle, _ = failing()
    async with desk.working(handle):
        await desk.transport.send(dated(made.isoformat()))
        await desk.outputs.holds(1)
    (settlement,) = desk.observed
    assert least_s <= settlement.waited_s <= most_s


@pytest.mark.parametrize("nonsense", ["", "yesterday", "0001-01-01T00:00:00"])
async def test_time_that_cannot_be_read_is_no_age(desk: Desk, nonsense: str) -> None:
    handle, _ = failing()
    async with desk.working(handle):
        await desk.transport.send(dated(nonsense))
        await desk.outputs.holds(1)
    (settlement,) = desk.observed
    assert settlement.waited_s == 0


def dated(time: str) -> Envelope:
    made = encode(RehearsalRequested(job="job-1", id=UUID(int=1)), "elsewhere")
    return replace(made, headers={**made.headers, "ce-time": time})


class Weary:
    """A delivery that says it was postponed very often."""

    redelivered = False
    attempt = 1
    postponed = 10**9

    def __init__(self) -> None:
        self.envelope = encode(RehearsalRequested(job="job-1", id=UUID(int=1)), "here")
        self.delay_s = 0.0

    async def ack(self) -> None:
        raise AssertionError("it is not done")

    async def bury(self, reason: str, trace: str) -> None:
        raise AssertionError(f"buried: {reason}")

    async def retry(self, delay_s: float, reason: str) -> None:
        raise AssertionError(f"not to blame: {reason}")

    async def postpone(self, delay_s: float, reason: str) -> None:
        self.delay_s = delay_s


class Handing(MemoryTransport):
    """Hands one delivery to whoever plans."""

    def __init__(self, delivery: Weary) -> None:
        super().__init__()
        self.delivery = delivery

    @asynccontextmanager
    async def receive(
        self, queue: str, receiver: Receiver, prefetch: int, grace_s: float
    ) -> AsyncIterator[Subscription]:
        async with super().receive(queue, receiver, prefetch, grace_s) as subscription:
            if queue == PLANNING:
                await receiver(self.delivery)
            yield subscription


async def test_message_that_claims_any_number_of_tries_waits_the_longest_delay() -> None:
    async def away(_: Message) -> AsyncIterator[JobMessage]:
        raise StoreAway
        yield

    delivery = Weary()
    async with Desk(Handing(delivery)).working(away):
        assert delivery.delay_s == 60
