"""What every message has: an identity, a topic, a way of delivery.

*Work* is taken by one of the competing consumers of a topic and acknowledged once. A *log* entry is seen by every
reader. Ids are derived, so that work done twice has the same outputs: a handler leaves `id` alone and the runner
stamps it with `derived_id(input.id, stage, topic, index)`.
"""

from operator import attrgetter
from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, ConfigDict

from schemas.limits import Ordinal
from schemas.names import JobId, run_of

UNSTAMPED = UUID(int=0)

Sealing = Literal["accept", "seal", "require"]
"""What a process with keys does: open what is sealed and seal nothing; seal as well; also refuse what is not sealed."""


class Message(BaseModel):
    """A fact on a topic. Unknown fields are ignored; a breaking change is a new topic version."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    topic: ClassVar[str]
    delivery: ClassVar[Literal["work", "log"]] = "work"
    routed_by: ClassVar[str | None] = None  # the field (dotted) whose value ends the routing key
    sealed: ClassVar[bool] = True  # its body is encrypted where the services have keys

    id: UUID = UNSTAMPED

    @property
    def key(self) -> str:
        """Routing key: the topic, and the value that routes within it."""
        return f"{self.topic}.{attrgetter(self.routed_by)(self)}" if self.routed_by else self.topic


class JobMessage(Message):
    """A message on behalf of a job's attempt. What a retried job left on the bus before is stale, and dropped."""

    job: JobId
    attempt: Ordinal = 1

    @property
    def run(self) -> str:
        """Name of the attempt: the correlation id on the wire, and what large bodies belong to."""
        return run_of(self.job, self.attempt)


def derived_id(parent: UUID | str, *path: object) -> UUID:
    """Return the id of what comes of `parent` by `path`: the same inputs give the same id, always."""
    namespace = parent if isinstance(parent, UUID) else uuid5(NAMESPACE_URL, f"rdg:{parent}")
    return uuid5(namespace, "/".join(str(step) for step in path))
