"""What the store keeps. Samples and weights are not here but in parts, named by digest.

A document is replaced by compare-and-set on its `revision`, so that two writers never overwrite each other.
`indexes` lists the fields that may be searched by; a search by anything else is refused.
"""

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.job import RehearsalSpec, Spec
from schemas.model import Classes, Dtype, Fractions, PartRef, Provenance, Scores, Shape
from schemas.names import ClassName, Digest, JobId, Name, run_of

JobState = Literal[
    "submitted",
    "fitting",
    "generating",
    "reviewing",
    "training",
    "releasing",
    "completed",
    "rejected",
    "failed",
    "cancelled",
]

NEXT_STATES: dict[JobState, frozenset[JobState]] = {
    "submitted": frozenset({"fitting", "generating", "training", "failed", "cancelled"}),
    "fitting": frozenset({"generating", "training", "completed", "failed", "cancelled"}),
    "generating": frozenset({"reviewing", "failed", "cancelled"}),
    "reviewing": frozenset({"training", "rejected", "failed", "cancelled"}),
    "training": frozenset({"releasing", "failed", "cancelled"}),
    "releasing": frozenset({"completed", "failed"}),  # too late to cancel: it may be out already
    "completed": frozenset(),
    "rejected": frozenset({"submitted"}),
    "failed": frozenset({"submitted"}),
    "cancelled": frozenset({"submitted"}),
}
"""The state machine of a job. A retry takes a job that ended without a result back to `submitted`."""

TERMINAL: frozenset[JobState] = frozenset({"completed", "rejected", "failed", "cancelled"})


def _now() -> datetime:
    return datetime.now(UTC)


class Document(BaseModel):
    """Something with an id. `revision` counts replacements; the store sets it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    collection: ClassVar[str]
    indexes: ClassVar[tuple[str, ...]] = ()

    id: str = Field(min_length=1, max_length=128)
    revision: int = Field(0, ge=0)
    created: AwareDatetime = Field(default_factory=_now)


class Job(Document):
    """A rehearsal or fitting job. `attempt` grows with each retry and keeps their ids apart."""

    collection: ClassVar[str] = "jobs"
    indexes: ClassVar[tuple[str, ...]] = ("token", "model", "state")

    token: str = Field(max_length=128)
    model: Name
    spec: Spec
    state: JobState = "submitted"
    reason: str = Field("", max_length=4096)
    attempt: int = Field(1, ge=1)
    base: int | None = Field(None, ge=1)
    fitted: dict[ClassName, Name] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    result: str | None = None
    updated: datetime = Field(default_factory=_now)

    @property
    def is_over(self) -> bool:
        """Whether the job reached a state that only a retry leaves."""
        return self.state in TERMINAL

    @property
    def rehearsal(self) -> RehearsalSpec:
        """What a rehearsal job asks for; TypeError for a fitting job."""
        if not isinstance(self.spec, RehearsalSpec):
            raise TypeError(f"{self.id} is a {self.spec.kind} job")
        return self.spec

    @property
    def run(self) -> str:
        """Name of this attempt: what its gates and temporary parts belong to."""
        return run_of(self.id, self.attempt)


class SamplePart(BaseModel):
    """Some samples of one class: a part with the arrays of docs/formats/samples.md."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    target: ClassName
    count: int = Field(ge=0)
    digest: Digest
    size_bytes: int = Field(ge=0)


class Dataset(Document):
    """Real data, by split and class, in parts of bounded size."""

    collection: ClassVar[str] = "datasets"

    source: str = Field(max_length=1024)
    shape: Shape
    dtype: Dtype
    classes: Classes
    train: tuple[SamplePart, ...]
    test: tuple[SamplePart, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """What is trained on, by digest."""
        return tuple(part.digest for part in self.train)


class Fitted(Document):
    """A generator fitted on one task: all that is kept of that task's data."""

    collection: ClassVar[str] = "fitted"
    indexes: ClassVar[tuple[str, ...]] = ("model", "job")

    model: Name
    job: JobId
    generator: Name
    data: Name
    shape: Shape
    dtype: Dtype
    classes: Classes
    options: dict[str, int | float | bool | str]
    seed: int
    data_digests: tuple[Digest, ...] = ()
    digest: Digest
    size_bytes: int = Field(ge=0)


class RehearsalSet(Document):
    """The samples that a job trained on, kept with where they come from; its id is the job's run."""

    collection: ClassVar[str] = "rehearsal_sets"
    indexes: ClassVar[tuple[str, ...]] = ("job",)

    job: JobId
    model: Name
    generator: Name
    fitted: tuple[Name, ...]
    parts: tuple[SamplePart, ...]
    counts: dict[ClassName, int]
    mean_confidence: Fractions
    balance: float = Field(ge=0, le=1)
    distances: dict[ClassName, float] = Field(default_factory=dict)
    status: Literal["collected", "approved", "deleted"] = "collected"
    reviewer: str = ""


class ModelVersion(Document):
    """One version of a model, released or not; its id is `name@number`."""

    collection: ClassVar[str] = "model_versions"
    indexes: ClassVar[tuple[str, ...]] = ("model", "run")

    model: Name
    number: int = Field(ge=1)
    run: str = Field(max_length=128)
    base: int | None = None
    architecture: str
    shape: Shape
    dtype: Dtype
    classes: Classes
    parts: tuple[PartRef, ...]
    scores: Scores
    before: Scores | None = None
    provenance: Provenance
    status: Literal["candidate", "released", "refused"]
    reason: str = ""


class Model(Document):
    """A model's name and which of its versions is released; its id is the name."""

    collection: ClassVar[str] = "models"

    released: int | None = None


class Device(Document):
    """What a device last said that it runs; its id is the device's name."""

    collection: ClassVar[str] = "devices"
    indexes: ClassVar[tuple[str, ...]] = ("model",)

    model: Name
    version: int | None
    state: Annotated[str, Field(max_length=32)]
    reason: str = ""
    reported: datetime


DOCUMENTS: tuple[type[Document], ...] = (
    Job,
    Dataset,
    Fitted,
    RehearsalSet,
    ModelVersion,
    Model,
    Device,
)
