"""What a stage says of itself."""

from collections.abc import AsyncIterator

from bus.stage import Stage, topology
from bus.transport import Queue
from schemas.flow import FittingRequested, ReviewDecided
from schemas.message import JobMessage, Message


def test_stage_has_a_queue_for_each_type_and_each_of_its_routes() -> None:
    async def handle(_: Message) -> AsyncIterator[JobMessage]:
        return
        yield

    stage = Stage("s", (ReviewDecided, FittingRequested), (), handle, routes=("gmm", "gan"))
    assert topology([stage]).queues == (
        Queue("s.review.decided.v1", "review.decided.v1"),
        Queue("s.fitting.requested.v1.gmm", "fitting.requested.v1.gmm"),
        Queue("s.fitting.requested.v1.gan", "fitting.requested.v1.gan"),
    )


def test_limit_of_a_stage_is_that_of_each_of_its_queues() -> None:
    async def handle(_: Message) -> AsyncIterator[JobMessage]:
        return
        yield

    stage = Stage("s", (ReviewDecided,), (), handle, limit=7)
    assert [queue.limit for queue in stage.queues] == [7]
