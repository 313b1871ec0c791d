"""What a publisher asks for. Defaults are what most jobs want; every field says its unit and range."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.limits import AtMost, Count, Ordinal
from schemas.model import Classes
from schemas.names import Name, OptionName

Option = (
    Annotated[int, Field(ge=-(2**63), lt=2**63)]
    | float
    | bool
    | Annotated[str, Field(max_length=1024)]
)

Options = Annotated[dict[OptionName, Option], AtMost(64)]
"""A generator's own options; the generator checks them."""

Rejections = Annotated[dict[Annotated[str, Field(max_length=64)], Count], AtMost(16)]
"""How many samples were not kept, for each reason of learning/selection.py."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]

Deadline = Annotated[
    float | None,
    Field(gt=0, le=366 * 86_400, description="Seconds after which a job that is not over fails."),
]


class Asked(BaseModel):
    """Part of a specification: frozen, and a field that does not exist is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Filter(Asked):
    """Which labelled samples are kept."""

    min_confidence: float = Field(
        0.5, ge=0, le=1, description="Least confidence of the deployed model."
    )
    min_distance: float = Field(
        0.0, ge=0, description="Least distance to others of the shard, per value; 0: any."
    )


class Labels(Asked):
    """What rehearsal samples are taught as: their generator's class, or what the deployed model makes of them.

    See learning/labels.py. Corrected samples count, and are reviewed, as samples of the class that they were given.
    """

    kind: Literal["hard", "soft", "corrected"] = "hard"
    soft_weight: float = Field(
        0.5, ge=0, le=1, description="The deployed model's share in a soft label."
    )
    min_correction: float = Field(
        0.9, ge=0, le=1, description="Least confidence of the deployed model to correct a label."
    )


class Review(Asked):
    """Who decides on a rehearsal set: a policy by thresholds, or a person."""

    mode: Literal["policy", "manual"] = "policy"
    min_count: int = Field(
        1, ge=0, le=1_000_000, description="Least number of samples of every class asked for."
    )
    min_mean_confidence: float = Field(0.0, ge=0, le=1)
    min_balance: float = Field(
        0.0, ge=0, le=1, description="Smallest class count over the largest."
    )
    min_fidelity: float = Field(
        0.0, ge=0, le=1, description="Least share of a class's samples like real ones; 0: any."
    )
    min_coverage: float = Field(
        0.0, ge=0, le=1, description="Least share of a class's real data reached; 0: any."
    )
    max_drift: float | None = Field(
        None, ge=0, description="Most a class may drift from the real data, in its variance."
    )


class Training(Asked):
    """How the model is retrained. See learning/training.py for the recipe."""

    epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        "auto", description="Passes over the data; auto: four, and more until they make 600 steps."
    )
    batch_size: int = Field(128, ge=2, le=65_536)
    lr: float = Field(2e-3, gt=0, le=1)
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="How the learning rate goes over the epochs planned."
    )
    augmentation: Literal["auto", "none", "shift", "shift+flip", "affine", "affine+flip"] = Field(
        "auto",
        description="How images are changed each time: auto shifts images, and leaves tables alone.",
    )
    replay_ratio: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "auto", description="Rehearsal's share of a batch; auto is by number of classes."
    )
    new_loss: Literal["auto", "all", "new"] = Field(
        "auto", description="Outputs that real new samples train: all, or the new classes' only."
    )
    distillation: float = Field(0.0, ge=0, le=100, description="Weight of the old model's answers.")
    validation: float = Field(
        0.1, gt=0, le=0.5, description="Share held out: it tells which epoch is best."
    )
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        description="Epochs without gain before it stops; none: all are trained, the best kept.",
    )
    calibration: Literal["none", "bias"] = Field(
        "none", description="How new classes are evened out against old ones in the result."
    )


class Gates(Asked):
    """A candidate that misses one is not released. None: no such gate."""

    min_accuracy: float | None = Field(None, ge=0, le=1)
    max_forgetting: float | None = Field(
        None, ge=0, le=1, description="Largest fall of an old class."
    )


class RehearsalSpec(Asked):
    """Retrain `model` on `new_data` while rehearsing `classes`. Without a generator: plain training.

    `classes` are those to rehearse, all that the model knows unless named; `count` is how many samples of each. With
    `fit_new` the generator is first fitted on the new data, so that its classes are rehearsed too, now and later.
    A class that was fitted on several data sets is rehearsed from the newest fit of each: `count` is shared evenly over
    them, and what is left over goes to the newest. They are at most one for each 50 of `count`, the newest; 40 with
    "auto", which gives each 50 samples at least.
    """

    kind: Literal["rehearsal"] = "rehearsal"
    model: Name
    new_data: Name
    new_classes: Classes = Field((), description="Of the new data, only these classes; empty: all.")
    generator: Name | None = None
    options: Options = Field(default_factory=dict)
    classes: Classes = ()
    count: Literal["auto"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        "auto",
        description="Samples of each rehearsed class, shared by its fits; auto: 2,000, or of large samples 16 MiB.",
    )
    fit_new: bool = True
    fits: Literal["every", "newest"] = Field(
        "every",
        description="Rehearse a class from every data that it was fitted on, the newest of them and one for each "
        "50 of the count (raise it for more; auto: 40), or from its newest fit alone: newest is for a world that has "
        "changed for good.",
    )
    labels: Labels = Labels()
    filter: Filter = Filter()
    review: Review = Review()
    training: Training = Training()
    gates: Gates = Gates()
    architecture: str | None = Field(None, max_length=512, description="For a first version only.")
    base: Ordinal | None = Field(
        None, description="Version to start from; default the released one."
    )
    from_scratch: bool = Field(False, description="Start from fresh weights, whatever came before.")
    release: bool = Field(True, description="False keeps the candidate without releasing it.")
    probe: Name | None = Field(None, description="Data set whose test split gives the scores.")
    seed: Seed = 0
    deadline_s: Deadline = None

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets that it needs, by name."""
        return (self.new_data, self.probe) if self.probe else (self.new_data,)

    @model_validator(mode="after")
    def _classes_need_a_generator(self) -> Self:
        if self.classes and self.generator is None:
            raise ValueError(
                "classes: rehearsal needs a generator; add --generator, or drop --classes"
            )
        return self


class FitSpec(Asked):
    """Fit a generator on a data set for later rehearsal of `model`; the data may then be deleted."""

    kind: Literal["fit"] = "fit"
    model: Name
    generator: Name
    data: Name
    classes: Classes = Field((), description="Empty: all.")
    options: Options = Field(default_factory=dict)
    delete_originals: bool = False
    seed: Seed = 0
    deadline_s: Deadline = None

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets that it needs, by name."""
        return (self.data,)


Spec = Annotated[RehearsalSpec | FitSpec, Field(discriminator="kind")]
