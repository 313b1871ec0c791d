"""The messages, in flow order. workers/pipeline.py says who takes and who makes each."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.arrays import Probabilities, Samples, Scores
from schemas.job import Options, Rejections
from schemas.limits import MAX_PART_BYTES, AtMost, Count, Ordinal
from schemas.message import JobMessage, Message
from schemas.model import Classes, Counts, Fractions, Frozen, Likenesses, Manifest, PartRefs
from schemas.model import Scores as ModelScores
from schemas.monitoring import Observed
from schemas.names import ClassName, Digest, Name

MAX_SHARDS = 10_000

PartBytes = Annotated[bytes, Field(max_length=MAX_PART_BYTES)]


class Order(Frozen):
    """One shard of a job: so many samples of one class from one fitted generator.

    `seed` follows from the job's seed, the class, the place of its fit and the shard, so the samples do not depend on
    who makes them. `common_seed` is that of all shards of the class from this fit, and those before this one ask for
    `start` samples: so shards share what a fit has kept. An order of an earlier release has neither.
    When the shard arrives, shard + `window` is asked for; of an order without one, all were asked for at once.
    """

    shard: int = Field(ge=0, lt=MAX_SHARDS)
    shards: int = Field(ge=1, le=MAX_SHARDS)
    window: int = Field(MAX_SHARDS, ge=1, le=MAX_SHARDS)
    generator: Name
    fitted: Name
    target: ClassName
    count: int = Field(ge=1, le=100_000)
    seed: int = Field(ge=0, lt=2**64)
    options: Options = Field(default_factory=dict)
    start: int = Field(0, ge=0, lt=2**49)
    common_seed: int | None = Field(None, ge=0, lt=2**64)


class RehearsalRequested(JobMessage):
    """A job was accepted; its specification is in the store."""

    topic: ClassVar[str] = "rehearsal.requested.v1"


class FittingRequested(JobMessage):
    """Fit, or go on fitting, the job's generator.

    `checkpoint` is what the last slice left; `spent`, what that slice itself began with, is no longer needed.
    """

    topic: ClassVar[str] = "fitting.requested.v1"
    routed_by: ClassVar[str] = "generator"
    generator: Name
    slice: Count = 0
    checkpoint: Digest | None = None
    spent: Digest | None = None


class GeneratorFitted(JobMessage):
    """The generator is in the store; the real data is no longer needed for rehearsal."""

    topic: ClassVar[str] = "generator.fitted.v1"
    fitted: Name


class GenerationRequested(JobMessage):
    """Make the samples of one shard."""

    topic: ClassVar[str] = "generation.requested.v1"
    routed_by: ClassVar[str] = "order.generator"
    order: Order


class PopulationProposed(JobMessage):
    """A population that the deployed model has to score: the whole state of a search travels here."""

    topic: ClassVar[str] = "population.proposed.v1"
    order: Order
    samples: Samples
    generation: int = Field(ge=0, le=1_000_000)


class PopulationScored(JobMessage):
    """The same population with the deployed model's confidence in the target class."""

    topic: ClassVar[str] = "population.scored.v1"
    routed_by: ClassVar[str] = "order.generator"
    order: Order
    samples: Samples
    generation: int = Field(ge=0, le=1_000_000)
    fitness: Scores


class SamplesGenerated(JobMessage):
    """A shard's samples. Of so many of them, the first, the class is `certain`: no model need confirm it."""

    topic: ClassVar[str] = "samples.generated.v1"
    order: Order
    samples: Samples
    certain: Count = 0


class SamplesPredicted(JobMessage):
    """The shard as the deployed model sees it. `classes` names the columns; empty before a first version."""

    topic: ClassVar[str] = "samples.predicted.v1"
    order: Order
    samples: Samples
    certain: Count = 0
    classes: Classes
    probabilities: Probabilities


class SamplesLabelled(JobMessage):
    """What was kept of the shard, and how many were rejected for each reason.

    The samples of a class lie together; `counts` says how many of which, in their order, and what was asked for comes
    first. Empty: all are what was asked for.
    """

    topic: ClassVar[str] = "samples.labelled.v1"
    order: Order
    samples: Samples
    probabilities: Probabilities
    confidence: Scores
    rejected: Rejections
    counts: Counts = Field(default_factory=dict)


class RehearsalSetReady(JobMessage):
    """All shards are in; the figures that the review goes by."""

    topic: ClassVar[str] = "rehearsal.set.ready.v1"
    counts: Counts
    mean_confidence: Fractions
    balance: float = Field(ge=0, le=1)
    likeness: Likenesses = Field(default_factory=dict)


class ReviewDecided(JobMessage):
    """A person or the policy decided. A rejected set's data is deleted."""

    topic: ClassVar[str] = "review.decided.v1"
    approved: bool
    reviewer: str = Field(max_length=128)
    reason: str = Field("", max_length=1024)


class TrainingRequested(JobMessage):
    """Train, or go on training, for one slice. `checkpoint` and `spent` as in FittingRequested."""

    topic: ClassVar[str] = "training.requested.v1"
    slice: Count = 0
    checkpoint: Digest | None = None
    spent: Digest | None = None


class ModelTrained(JobMessage):
    """A candidate, with its scores and those of the version it came from."""

    topic: ClassVar[str] = "model.trained.v1"
    base: Ordinal | None = None
    architecture: str = Field(max_length=512)
    classes: Classes
    parts: PartRefs
    scores: ModelScores
    before: ModelScores | None = None


class ModelReleased(Message):
    """A new version. `parts` holds the bytes of every part that the manifest lists, by digest."""

    topic: ClassVar[str] = "model.released.v1"
    delivery: ClassVar[Literal["log"]] = "log"
    routed_by: ClassVar[str] = "manifest.model"
    sealed: ClassVar[bool] = (
        False  # devices read it and have no keys: one stolen would open everything
    )
    manifest: Manifest
    parts: Annotated[dict[Digest, PartBytes], AtMost(64)]


class DeviceReported(Message):
    """What a device runs now, or why it refused a release; `observed` is what it counted of that version's answers."""

    topic: ClassVar[str] = "device.reported.v1"
    sealed: ClassVar[bool] = False  # a device has no keys
    device: Name
    model: Name
    version: Ordinal | None = None
    state: Literal["running", "refused"]
    reason: str = Field("", max_length=1024)
    at: AwareDatetime
    observed: Observed | None = None


class Progress(JobMessage):
    """How far a job is, for people. Losing one loses nothing: the store has the truth."""

    topic: ClassVar[str] = "progress.v1"
    delivery: ClassVar[Literal["log"]] = "log"
    sealed: ClassVar[bool] = False  # whoever may only watch needs no keys; nothing goes by it
    stage: Name
    state: Name
    done: float = Field(ge=0)
    total: float = Field(ge=0)
    note: str = Field("", max_length=1024)


FLOW: tuple[type[Message], ...] = (
    RehearsalRequested,
    FittingRequested,
    GeneratorFitted,
    GenerationRequested,
    PopulationProposed,
    PopulationScored,
    SamplesGenerated,
    SamplesPredicted,
    SamplesLabelled,
    RehearsalSetReady,
    ReviewDecided,
    TrainingRequested,
    ModelTrained,
    ModelReleased,
    DeviceReported,
    Progress,
)
