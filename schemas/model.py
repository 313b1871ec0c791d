"""A model as parts and a manifest that lists them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.limits import MAX_ENTRIES, AtMost, Count, Ordinal
from schemas.names import ClassName, Digest, JobId, Name

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1), AtMost(3)]
"""One sample's shape: (height, width), (height, width, 3) or (features,)."""

Classes = Annotated[tuple[ClassName, ...], AtMost(MAX_ENTRIES)]
"""Class names in the order of the head's rows; rows are only ever added at the end."""

Dtype = Literal["uint8", "float32"]

Fractions = Annotated[dict[ClassName, Annotated[float, Field(ge=0, le=1)]], AtMost(MAX_ENTRIES)]
"""A share, such as an accuracy, for each class."""

Counts = Annotated[dict[ClassName, Count], AtMost(MAX_ENTRIES)]
"""How many samples of each class."""

Names = Annotated[tuple[Name, ...], AtMost(MAX_ENTRIES)]
Digests = Annotated[tuple[Digest, ...], AtMost(MAX_ENTRIES)]
ClassDigests = Annotated[dict[ClassName, Digest], AtMost(MAX_ENTRIES)]


class Frozen(BaseModel):
    """A value inside a message or a document."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class PartRef(Frozen):
    """A part of a model (backbone, head): a safetensors file named by its sha256."""

    name: Name
    digest: Digest
    size_bytes: int = Field(ge=0, le=2**31)


PartRefs = Annotated[tuple[PartRef, ...], AtMost(64)]


VALIDATION = "validation"
"""Instead of a probe's name: what training held out."""


class Scores(Frozen):
    """Accuracy by class, and on what it was measured: the validation split, or a probe data set."""

    measured_on: str = Field(max_length=64)
    accuracy: float = Field(ge=0, le=1)
    per_class: Fractions

    @property
    def of_probe(self) -> bool:
        """Whether they say something of the field: of older classes the validation split has rehearsal samples alone.

        A probe that is itself called "validation" counts for none.
        """
        return self.measured_on != VALIDATION


class Likeness(Frozen):
    """How alike one class's samples are to the real ones that the generator was fitted on: learning/likeness.py.

    Attributes:
        fidelity: Share of samples that lie where real ones do; 0.95 for real samples.
        coverage: Share of the real data that is reached as often as by real samples; 1 for many real samples.
        drift: Distance of the distributions, in the variance of real samples; 0 for real samples.

    """

    fidelity: float = Field(ge=0, le=1)
    coverage: float = Field(ge=0, le=1)
    drift: float = Field(ge=0)


Likenesses = Annotated[dict[ClassName, Likeness], AtMost(MAX_ENTRIES)]
"""By class; one of which no statistics were kept, or that has fewer than two samples, is not in it."""


class GeneratorQuality(Frozen):
    """What a generator keeps and gives away, measured at the fit on the real data: learning/evaluation.py.

    Attributes:
        accuracy: Of a classifier trained on generated samples, on held-out real ones; None if there were none.
        accuracy_real: The same of one trained on as many real samples.
        distance: Of a generated sample to the nearest training sample, in standard deviations of a value.
        distance_real: Of a training sample to the nearest other.
        copies: Share of generated samples that are as close to a training sample as the closest 5 % of real ones.
        copies_real: That share of real samples.
        memorises: Whether it has many more copies than real samples.

    """

    accuracy: float | None = Field(None, ge=0, le=1)
    accuracy_real: float | None = Field(None, ge=0, le=1)
    distance: float = Field(ge=0)
    distance_real: float = Field(ge=0)
    copies: float = Field(ge=0, le=1)
    copies_real: float = Field(ge=0, le=1)
    memorises: bool = False


class Provenance(Frozen):
    """Where a version comes from: enough to make it again."""

    job: JobId
    seed: int = Field(ge=0, lt=2**64)
    generator: Name | None = None
    fitted: Names = ()
    new_data: Name | None = None
    data_digests: Digests = ()
    rehearsal_digests: Digests = ()
    reviewer: str = Field(default="", max_length=128)
    code_version: str = Field(max_length=64)


class Manifest(Frozen):
    """A release as a device sees it. Versions are integers that only grow.

    `architecture` is the layer list of docs/formats/model.md, for example "conv16 pool dense64".
    """

    model: Name
    version: Ordinal
    base: Ordinal | None = None
    architecture: str = Field(max_length=512)
    shape: Shape
    dtype: Dtype
    classes: Classes
    parts: PartRefs = Field(min_length=1)
    scores: Scores
    provenance: Provenance
    created: datetime
