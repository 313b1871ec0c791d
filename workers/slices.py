"""Checkpoints of work that goes on over several messages.

A slice begins with what the one before left and leaves what the next begins with. Once a slice has begun, the
checkpoint before its own is dropped, so a job holds two at most. A message delivered again after that finds its
checkpoint gone, which says that a later slice has begun: `Superseded`, nothing to do.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from learning.bundle import pack, unpack
from schemas.documents import Job
from schemas.flow import FittingRequested, TrainingRequested
from schemas.message import UNSTAMPED
from schemas.names import work_of
from store.base import Store
from store.errors import NotFound

Slice = TypeVar("Slice", FittingRequested, TrainingRequested)


class Superseded(Exception):
    """A later slice has begun; this message is a repeat."""


async def take(store: Store, job: Job, message: Slice) -> dict[str, NDArray[Any]] | None:
    """Return the checkpoint that the message names, None for a first slice, or raise Superseded."""
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
    """Keep a checkpoint and return the request to go on from it."""
    digest = await store.put_part(pack(checkpoint), work_of(job.run))
    return message.model_copy(
        update={
            "id": UNSTAMPED,
            "slice": message.slice + 1,
            "checkpoint": digest,
            "spent": message.checkpoint,
        }
    )
