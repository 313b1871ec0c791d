"""Checkpoints of work that goes on over several messages.

A slice begins with what the one before left and leaves what the next begins with. The job names the newest checkpoint,
by compare-and-set, so its work is one chain whoever asks for it and however often: of two messages for one slice, the
first to leave a checkpoint goes on and the other ends. Once a slice has begun, the checkpoint before its own is
dropped, so a job holds two, and one more for each message that lost.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from learning.bundle import pack, unpack
from schemas.documents import Checkpoint, Job, JobState
from schemas.flow import FittingRequested, TrainingRequested
from schemas.message import UNSTAMPED
from schemas.names import work_of
from store.base import Store, change
from store.errors import NotFound

Slice = TypeVar("Slice", FittingRequested, TrainingRequested)

WHILE: dict[type[FittingRequested | TrainingRequested], tuple[JobState, ...]] = {
    FittingRequested: ("fitting",),
    TrainingRequested: ("training", "releasing"),  # the last slice may be a repeat
}


class Superseded(Exception):
    """A later slice has begun, or the job has gone on without this one."""


async def take(store: Store, job: Job, message: Slice) -> dict[str, NDArray[Any]] | None:
    """Return the checkpoint that the message names, None for a first slice, or raise Superseded."""
    if job.checkpoint and job.checkpoint.slice > message.slice:
        raise Superseded
    if message.spent:
        await store.drop_parts(work_of(job.run), message.spent)
    if message.checkpoint is None:
        return None
    try:
        return unpack(await store.get_part(message.checkpoint))
    except NotFound as error:
        raise Superseded from error


async def leave(
    store: Store, job: Job, message: Slice, checkpoint: Mapping[str, NDArray[Any]]
) -> Slice:
    """Keep a checkpoint, put it on the job, and return the request to go on from it; or raise Superseded."""
    digest = await store.put_part(pack(checkpoint), work_of(job.run))
    left = Checkpoint(slice=message.slice + 1, digest=digest, left_by=message.id)

    def step(current: Job) -> Job:
        is_gone = current.attempt != job.attempt or current.state not in WHILE[type(message)]
        if is_gone or (current.checkpoint and current.checkpoint.slice >= left.slice):
            raise Superseded
        return current.model_copy(update={"checkpoint": left})

    await change(store, Job, job.id, step)
    return _following(left, message)


def repeated(job: Job, message: Slice) -> list[Slice]:
    """Return the request that this very message has led to before, if it has: perhaps it was not published."""
    left = job.checkpoint
    return [_following(left, message)] if left and left.left_by == message.id else []


def _following(left: Checkpoint, message: Slice) -> Slice:
    return message.model_copy(
        update={
            "id": UNSTAMPED,
            "slice": left.slice,
            "checkpoint": left.digest,
            "spent": message.checkpoint,
        }
    )
