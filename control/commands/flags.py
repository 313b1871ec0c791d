"""Flags that several verbs share. One that is not given is None, and the default of the schema holds."""

from typing import Annotated, Any

from pydantic import BaseModel
from typer import Argument, Option

from control.arguments import parse_classes
from learning.generators import BUILT_IN
from schemas.job import FitSpec, Gates, Labels, RehearsalSpec, Training

Fields = dict[str, Any]
"""Fields of a specification, before the schema has checked them."""


def given(**values: Any) -> Fields:
    """Return the values that were given."""
    return {name: value for name, value in values.items() if value is not None}


def classes_of(text: str | None) -> tuple[str, ...] | None:
    """Return the class names of a flag; None if it was not given."""
    return None if text is None else parse_classes(text)


def help_of(kind: type[BaseModel], name: str, text: str = "") -> str:
    """Return what the schema says of a field, with its default."""
    field = kind.model_fields[name]
    words = text or field.description or ""
    has_default = field.default is not None and field.default is not False
    return f"{words} [default: {field.default}]" if has_default else words


JobArgument = Annotated[str, Argument(help="The job's id.")]
Limit = Annotated[int, Option(help="At most so many, newest first.")]
Before = Annotated[str | None, Option(help="Go on after this id: the last of the page before.")]
Force = Annotated[bool, Option("--force", help="Do it without asking.")]
OfModel = Annotated[str | None, Option("--model", help="Only of this model.")]

Model = Annotated[str, Option("--model", help="Name of the model.")]
GENERATORS = f"Kind of generator: {', '.join(BUILT_IN)} or yours."
GeneratorName = Annotated[str | None, Option("--generator", help=GENERATORS)]
GeneratorOptions = Annotated[
    list[str] | None,
    Option("--option", metavar="NAME=VALUE", help="The generator's own; may be repeated."),
]
NewClasses = Annotated[
    str | None, Option("--new-classes", help="Of the new data, only these: 0-4 or cat,dog.")
]
Probe = Annotated[str | None, Option(help=help_of(RehearsalSpec, "probe"))]
Architecture = Annotated[
    str | None,
    Option(
        help=help_of(
            RehearsalSpec, "architecture", 'As "conv16 pool dense64"; for a first version.'
        )
    ),
]
LabelKind = Annotated[
    str | None,
    Option(
        "--labels",
        help=help_of(Labels, "kind", "What samples are taught as: hard, soft or corrected."),
    ),
]
SoftWeight = Annotated[float | None, Option(help=help_of(Labels, "soft_weight"))]
MinCorrection = Annotated[float | None, Option(help=help_of(Labels, "min_correction"))]
Epochs = Annotated[str | None, Option(help=help_of(Training, "epochs"))]
BatchSize = Annotated[int | None, Option(help=help_of(Training, "batch_size", "Samples a step."))]
LearningRate = Annotated[
    float | None, Option("--lr", help=help_of(Training, "lr", "Learning rate."))
]
Distillation = Annotated[float | None, Option(help=help_of(Training, "distillation"))]
Schedule = Annotated[
    str | None, Option(help=help_of(Training, "schedule", "Learning rate: constant or cosine."))
]
Augmentation = Annotated[
    str | None,
    Option(
        help=help_of(
            Training,
            "augmentation",
            "Images change each time they are seen: none, shift, affine, either +flip, or auto.",
        )
    ),
]
ReplayRatio = Annotated[
    str | None,
    Option(help=help_of(Training, "replay_ratio", "Rehearsal's share of a batch, or auto.")),
]
Patience = Annotated[int | None, Option("--patience", help=help_of(Training, "patience"))]
Calibration = Annotated[
    str | None,
    Option(help=help_of(Training, "calibration", "New classes against old ones: none or bias.")),
]
MinAccuracy = Annotated[
    float | None, Option(help=help_of(Gates, "min_accuracy", "Gate: least accuracy, 0 to 1."))
]
MaxForgetting = Annotated[float | None, Option(help=f"Gate: {help_of(Gates, 'max_forgetting')}")]
NoRelease = Annotated[bool, Option("--no-release", help="Keep the candidate without releasing it.")]
NoFitNew = Annotated[
    bool, Option("--no-fit-new", help="Do not fit the generator on the new data as well.")
]
Fits = Annotated[str | None, Option("--fits", help=help_of(RehearsalSpec, "fits"))]
FromScratch = Annotated[
    bool,
    Option(
        "--from-scratch", help=help_of(RehearsalSpec, "from_scratch", "Start from fresh weights.")
    ),
]
Seed = Annotated[int | None, Option(help=help_of(FitSpec, "seed", "Same seed, same result."))]
Deadline = Annotated[float | None, Option("--deadline", help=help_of(FitSpec, "deadline_s"), min=0)]
Token = Annotated[
    str, Option("--submit-token", help="Your name for this request: repeating it does it once.")
]
Wait = Annotated[bool, Option("--wait", help="Show progress, and return when it is over.")]
Timeout = Annotated[
    float | None, Option("--timeout", help="Seconds to wait; the job goes on after them.", min=0)
]
