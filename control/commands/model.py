"""`rdg model`: models and their versions."""

from typing import Annotated

import typer

from control.arguments import parse_options
from control.commands import flags
from control.commands.flags import classes_of, given
from control.commands.submission import PatienceFlags, submit
from control.output import Columns, described, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import models
from schemas.documents import Model, ModelVersion
from schemas.job import RehearsalSpec

app = noun("Models: train them, see their versions and where these come from.")

VersionArgument = Annotated[
    str, typer.Argument(help="digits is its released version, digits@3 that one.")
]

VERSION: Columns[ModelVersion] = {
    "version": lambda each: each.id,
    "status": lambda each: each.status,
    "accuracy": lambda each: each.scores.accuracy,
    "measured on": lambda each: each.scores.measured_on,
    "classes": lambda each: each.classes,
    "base": lambda each: each.base,
    "created": lambda each: each.created,
}
ORIGIN: Columns[ModelVersion] = {
    "job": lambda each: each.provenance.job,
    "data": lambda each: each.provenance.new_data,
    "generator": lambda each: each.provenance.generator,
    "fitted": lambda each: each.provenance.fitted,
    "seed": lambda each: each.provenance.seed,
    "reviewer": lambda each: each.provenance.reviewer,
    "code": lambda each: each.provenance.code_version,
}


@verb(app, "train", example="rdg model train --model digits --data zero-to-four --generator gmm")
async def train(
    session: Session,
    model: flags.Model,
    data: Annotated[str, typer.Option(help="Data set to learn.")],
    new_classes: flags.NewClasses = None,
    generator: flags.GeneratorName = None,
    option: flags.GeneratorOptions = None,
    architecture: flags.Architecture = None,
    from_scratch: flags.FromScratch = False,
    epochs: flags.Epochs = None,
    stop_after: flags.Patience = None,
    lr: flags.LearningRate = None,
    batch_size: flags.BatchSize = None,
    schedule: flags.Schedule = None,
    augmentation: flags.Augmentation = None,
    min_accuracy: flags.MinAccuracy = None,
    probe: flags.Probe = None,
    no_release: flags.NoRelease = False,
    seed: flags.Seed = None,
    token: flags.Token = "",
    *,
    patience: PatienceFlags,
) -> None:
    """Train a model on a data set without rehearsal: how its first version is made.

    With a generator, that is fitted on the data as well, so that later jobs can rehearse its classes.
    """
    fields = given(
        model=model,
        new_data=data,
        new_classes=classes_of(new_classes),
        generator=generator,
        options=parse_options(option or []),
        architecture=architecture,
        from_scratch=from_scratch,
        training=given(
            epochs=epochs,
            patience=stop_after,
            lr=lr,
            batch_size=batch_size,
            schedule=schedule,
            augmentation=augmentation,
        ),
        gates=given(min_accuracy=min_accuracy),
        probe=probe,
        release=not no_release,
        seed=seed,
    )
    spec = RehearsalSpec.model_validate(fields)
    await submit(session, spec, token, patience)


@verb(app, "list", example="rdg model list")
async def list_(session: Session, limit: flags.Limit = 100, before: flags.Before = None) -> None:
    """List models that have a released version."""
    async with session.store() as store:
        found = await models.page(store, limit, before)
    columns: Columns[Model] = {
        "model": lambda each: each.id,
        "released": lambda each: each.released,
        "created": lambda each: each.created,
    }
    empty = "no models yet: make one with `rdg model train --model NAME --data DATASET`"
    print_all(found, columns, session.format, empty)


@verb(app, "show", example="rdg model show digits")
async def show(session: Session, model: VersionArgument) -> None:
    """Show a model's versions, newest first; of `digits@3`, that version with its scores."""
    async with session.store() as store:
        if "@" in model:
            print_version(await models.version(store, model), session)
            return
        detail = await models.show(store, model)
    if session.format != "table":
        print_one(detail, {}, session.format)
        return
    current: Columns[ModelVersion] = {
        "current": lambda each: "*" if each.number == detail.released else ""
    }
    print_all(detail.versions, {**VERSION, **current}, session.format, "")


@verb(app, "lineage", example="rdg model lineage digits")
async def lineage(session: Session, model: VersionArgument) -> None:
    """Show the versions that a version comes from, and what each was made of."""
    async with session.store() as store:
        line = await models.lineage(store, model)
    short = {name: VERSION[name] for name in ("version", "base", "accuracy")}
    print_all(line, {**short, **ORIGIN}, session.format, "")


def print_version(version: ModelVersion, session: Session) -> None:
    """Print one version with its origin and its accuracy by class."""
    per_class = {f"class {name}": score for name, score in version.scores.per_class.items()}
    rest = {
        "architecture": version.architecture,
        "bytes": sum(part.size_bytes for part in version.parts),
        "reason": version.reason,
    }
    print_one(version, described(version, {**VERSION, **ORIGIN}) | rest | per_class, session.format)
