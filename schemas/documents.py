"""What the store keeps. Samples and weights are not here but in parts, named by digest.

A document is replaced by compare-and-set on its `revision`, so that two writers never overwrite each other.
`indexes` lists the fields that may be searched by; a search by anything else is refused.
"""

from collections import defaultdict
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.job import Options, RehearsalSpec, Rejections, Spec
from schemas.limits import MAX_ENTRIES, AtMost, Count, Ordinal
from schemas.model import (
    ClassDigests,
    Classes,
    Counts,
    Digests,
    Dtype,
    Fractions,
    GeneratorQuality,
    Likenesses,
    Names,
    PartRef,
    PartRefs,
    Provenance,
    Scores,
    Shape,
)
from schemas.monitoring import MonitorPolicy, Observed, Watch
from schemas.names import ClassName, Digest, JobId, Name, joint_digest, run_of

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


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Fits = Annotated[
    tuple[Name, ...], Field(min_length=1), AtMost(MAX_ENTRIES), BeforeValidator(_several)
]
"""Ids of fits, oldest first; an earlier release wrote the one that a class had as a text."""


class Document(BaseModel):
    """Something with an id. `revision` counts replacements; the store sets it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    collection: ClassVar[str]
    indexes: ClassVar[tuple[str, ...]] = ()

    id: str = Field(min_length=1, max_length=128)
    revision: Count = 0
    created: AwareDatetime = Field(default_factory=_now)


class Checkpoint(BaseModel):
    """Where fitting or training goes on, whoever does: `slice` begins with the part `digest`.

    `left_by` is the id of the message whose slice left it: that message alone asks for `slice`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    slice: Count
    digest: Digest
    left_by: UUID


class Resumption(BaseModel):
    """How often a job was asked for again while it stood at one place."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: str = Field(max_length=64)
    count: Ordinal


class Job(Document):
    """A rehearsal or fitting job.

    Attributes:
        attempt: Grows with each retry and keeps their ids apart.
        asked: When this attempt was asked for, by the clock of whoever asked; its deadline counts from here.
        fitted: The fits that each class is rehearsed from, oldest first.
        checkpoint: The newest of the fitting, or of the training.
        resumed: What a watchdog or a restart has tried since the job last moved.
        trace: The W3C traceparent of its submission, which all that it leads to belongs to; empty if nobody began one.
        data: What its data sets held when this attempt was planned, as their fingerprints; empty: an earlier release
            kept none.
        leftovers: Whether a worker that was late may have kept something after the attempt was over.
        cause: Why the monitor asked for it, with its figures; empty if it was not the monitor.

    """

    collection: ClassVar[str] = "jobs"
    indexes: ClassVar[tuple[str, ...]] = ("token", "model", "state", "leftovers")

    token: str = Field(max_length=128)
    model: Name
    spec: Spec
    state: JobState = "submitted"
    reason: str = Field("", max_length=4096)
    attempt: Ordinal = 1
    base: Ordinal | None = None
    fitted: Annotated[dict[ClassName, Fits], AtMost(MAX_ENTRIES)] = Field(default_factory=dict)
    rejected: Rejections = Field(default_factory=dict)
    result: str | None = Field(None, max_length=128)
    updated: datetime = Field(default_factory=_now)
    asked: AwareDatetime = Field(default_factory=_now)
    checkpoint: Checkpoint | None = None
    resumed: Resumption | None = None
    trace: str = Field("", max_length=64)
    data: Annotated[dict[Name, Digest], AtMost(8)] = Field(default_factory=dict)
    leftovers: Literal["none", "possible"] = "none"
    cause: str = Field("", max_length=2048)

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
    def fits(self) -> tuple[str, ...]:
        """All fits that it rehearses from, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(self.fitted.values())))

    @property
    def own_fit(self) -> str:
        """Id of what this attempt fits, if it does."""
        return f"{self.spec.generator}-{self.id}-{self.attempt}"

    @property
    def run(self) -> str:
        """Name of this attempt: what its gates and temporary parts belong to."""
        return run_of(self.id, self.attempt)


class SamplePart(BaseModel):
    """Some samples of one class: a part with the arrays of docs/formats/samples.md."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    target: ClassName
    count: Count
    digest: Digest
    size_bytes: Count


SampleParts = Annotated[tuple[SamplePart, ...], AtMost(MAX_ENTRIES)]


class Dataset(Document):
    """Real data, by split and class, in parts of bounded size."""

    collection: ClassVar[str] = "datasets"

    source: str = Field(max_length=1024)
    shape: Shape
    dtype: Dtype
    classes: Classes
    train: SampleParts
    test: SampleParts = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """What is trained on, by digest."""
        return tuple(part.digest for part in self.train)

    @property
    def class_digests(self) -> dict[str, str]:
        """What is trained on of each class, as one digest: the same whatever other classes there are."""
        parts: defaultdict[str, list[str]] = defaultdict(list)
        for part in self.train:
            parts[part.target].append(part.digest)
        return {name: joint_digest(digests) for name, digests in parts.items()}

    @property
    def fingerprint(self) -> str:
        """All that can be learnt or measured with it as one digest: its classes, and the parts of both splits."""
        splits = (("train", self.train), ("test", self.test))
        parts = (f"{name} {part.digest} {part.target}" for name, split in splits for part in split)
        lines = [*(f"class {name}" for name in self.classes), *parts]
        return joint_digest(lines)


class Fitted(Document):
    """A generator fitted on one task: all that is kept of that task's data.

    Attributes:
        data_digests: The parts of the data set.
        class_digests: `Dataset.class_digests`; empty: fitted by an old release.
        digest: The part with the generator's state.
        size_bytes: Of that part.
        reference: The part with what sets are compared with (learning/reference.py); None: fitted by an old release,
            or privately.
        quality: None for a search, which makes nothing without the deployed model, and for a private fit.

    """

    collection: ClassVar[str] = "fitted"
    indexes: ClassVar[tuple[str, ...]] = ("model", "job")

    model: Name
    job: JobId
    generator: Name
    data: Name
    shape: Shape
    dtype: Dtype
    classes: Classes
    options: Options
    seed: int = Field(ge=0, lt=2**64)
    data_digests: Digests = ()
    class_digests: ClassDigests = Field(default_factory=dict)
    digest: Digest
    size_bytes: Count
    reference: PartRef | None = None
    quality: GeneratorQuality | None = None

    @property
    def fitted_on(self) -> str:
        """The data set as one digest, the same for every fit of it; of a fit by an old release its name."""
        return joint_digest(self.data_digests) if self.data_digests else self.data

    def class_data(self, name: str) -> str:
        """What one class was fitted on; of a fit by an old release that is the data set."""
        return self.class_digests.get(name, self.fitted_on)

    @property
    def kept_bytes(self) -> int:
        """All that is kept of the task: the generator's state and the reference statistics."""
        return self.size_bytes + (self.reference.size_bytes if self.reference else 0)


class RehearsalSet(Document):
    """The samples that a job trained on, kept with where they come from; its id is the job's run.

    Attributes:
        distances: Mean distance to the nearest other sample of the class (learning/quality.py).
        near_duplicates: Share of samples that have another very close.
        duplicates: Share of samples that are equal to an earlier one, which only another shard can have.
        corrected: Of `counts`, the samples that were made for another class.
        likeness: To the real data that is gone. Of a class with several fits each figure is the worst of theirs, the
            samples of a fit compared with its own data; a class is left out if nothing is known of one of them.

    """

    collection: ClassVar[str] = "rehearsal_sets"
    indexes: ClassVar[tuple[str, ...]] = ("job",)

    job: JobId
    model: Name
    generator: Name
    fitted: Names
    parts: SampleParts
    counts: Counts
    mean_confidence: Fractions
    balance: float = Field(ge=0, le=1)
    distances: Annotated[dict[ClassName, float], AtMost(MAX_ENTRIES)] = Field(default_factory=dict)
    near_duplicates: Fractions = Field(default_factory=dict)
    duplicates: Fractions = Field(default_factory=dict)
    corrected: Counts = Field(default_factory=dict)
    likeness: Likenesses = Field(default_factory=dict)
    status: Literal["collected", "approved", "deleted"] = "collected"
    reviewer: str = Field("", max_length=128)
    reason: str = Field("", max_length=1024)


class ModelVersion(Document):
    """One version of a model, released or not; its id is `name@number`."""

    collection: ClassVar[str] = "model_versions"
    indexes: ClassVar[tuple[str, ...]] = ("model", "run")

    model: Name
    number: Ordinal
    run: str = Field(max_length=128)
    base: Ordinal | None = None
    architecture: str = Field(max_length=512)
    shape: Shape
    dtype: Dtype
    classes: Classes
    parts: PartRefs
    scores: Scores
    before: Scores | None = None
    provenance: Provenance
    status: Literal["candidate", "released", "refused"]
    reason: str = Field("", max_length=4096)


class Model(Document):
    """A model's name and which of its versions is released; its id is the name."""

    collection: ClassVar[str] = "models"

    released: Count | None = None


MAX_RUNS = 100


class Device(Document):
    """What a device last said that it runs; its id is the device's name.

    Attributes:
        observed: What it has counted of the version's answers since it began to count.
        earlier: What it had counted of them before that, each time that it began anew.
        runs: When it began to count what is in `earlier`; the newest MAX_RUNS.

    """

    collection: ClassVar[str] = "devices"
    indexes: ClassVar[tuple[str, ...]] = ("model",)

    model: Name
    version: Ordinal | None
    state: Annotated[str, Field(max_length=32)]
    reason: str = Field("", max_length=1024)
    reported: datetime
    observed: Observed | None = None
    earlier: Observed | None = None
    runs: Annotated[tuple[AwareDatetime, ...], AtMost(MAX_RUNS)] = ()

    @property
    def counted(self) -> Observed | None:
        """All that it has counted of the version's answers."""
        if self.observed and self.earlier:
            return self.observed.plus(self.earlier)
        return self.observed or self.earlier


class Monitor(Document):
    """When to rehearse a model, and how far its monitor is; its id is the model's name.

    One that is off is kept: the numbers of its alarms are in the ids of jobs.
    """

    collection: ClassVar[str] = "monitors"

    policy: MonitorPolicy
    state: Literal["on", "off"] = "on"
    watch: Watch | None = None


DOCUMENTS: tuple[type[Document], ...] = (
    Job,
    Dataset,
    Fitted,
    RehearsalSet,
    ModelVersion,
    Model,
    Device,
    Monitor,
)
