"""Flags of a rehearsal, in groups: of a job that is submitted now, and of one that a monitor asks for later."""

from typing import Annotated

import typer

from control.arguments import parse_options
from control.commands import flags
from control.commands.flags import Fields, classes_of, given, help_of
from control.session import Group
from schemas.job import Filter, RehearsalSpec, Review


def _rehearsed(
    *,
    new_classes: flags.NewClasses = None,
    generator: flags.GeneratorName = None,
    option: flags.GeneratorOptions = None,
    classes: Annotated[
        str | None, typer.Option(help="Old classes to rehearse: 0-4 or cat,dog.")
    ] = None,
    count: Annotated[str | None, typer.Option(help=help_of(RehearsalSpec, "count"))] = None,
    fits: flags.Fits = None,
    no_fit_new: flags.NoFitNew = False,
    min_confidence: Annotated[
        float | None, typer.Option(help=help_of(Filter, "min_confidence"))
    ] = None,
    min_distance: Annotated[
        float | None, typer.Option(help=help_of(Filter, "min_distance"))
    ] = None,
    labels: flags.LabelKind = None,
    soft_weight: flags.SoftWeight = None,
    min_correction: flags.MinCorrection = None,
) -> Fields:
    return given(
        new_classes=classes_of(new_classes),
        generator=generator,
        options=parse_options(option or []),
        classes=classes_of(classes),
        count=count,
        fits=fits,
        fit_new=not no_fit_new,
        filter=given(min_confidence=min_confidence, min_distance=min_distance),
        labels=given(kind=labels, soft_weight=soft_weight, min_correction=min_correction),
    )


def _review(
    *,
    review: Annotated[
        str | None, typer.Option(help=help_of(Review, "mode", "Who decides: policy or manual."))
    ] = None,
    min_count: Annotated[int | None, typer.Option(help=help_of(Review, "min_count"))] = None,
    min_balance: Annotated[float | None, typer.Option(help=help_of(Review, "min_balance"))] = None,
    min_fidelity: Annotated[
        float | None, typer.Option(help=help_of(Review, "min_fidelity"))
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option(help=help_of(Review, "min_coverage"))
    ] = None,
    max_drift: Annotated[float | None, typer.Option(help=help_of(Review, "max_drift"))] = None,
) -> Fields:
    return given(
        mode=review,
        min_count=min_count,
        min_balance=min_balance,
        min_fidelity=min_fidelity,
        min_coverage=min_coverage,
        max_drift=max_drift,
    )


def _training(
    *,
    epochs: flags.Epochs = None,
    patience: flags.Patience = None,
    lr: flags.LearningRate = None,
    batch_size: flags.BatchSize = None,
    distillation: flags.Distillation = None,
    schedule: flags.Schedule = None,
    augmentation: flags.Augmentation = None,
    replay_ratio: flags.ReplayRatio = None,
    calibration: flags.Calibration = None,
) -> Fields:
    return given(
        epochs=epochs,
        patience=patience,
        lr=lr,
        batch_size=batch_size,
        distillation=distillation,
        schedule=schedule,
        augmentation=augmentation,
        replay_ratio=replay_ratio,
        calibration=calibration,
    )


def _gates(
    *, max_forgetting: flags.MaxForgetting = None, min_accuracy: flags.MinAccuracy = None
) -> Fields:
    return given(max_forgetting=max_forgetting, min_accuracy=min_accuracy)


def _outcome(
    *,
    probe: flags.Probe = None,
    no_release: flags.NoRelease = False,
    seed: flags.Seed = None,
    deadline_s: flags.Deadline = None,
) -> Fields:
    return given(probe=probe, release=not no_release, seed=seed, deadline_s=deadline_s)


Rehearsed = Annotated[Fields, Group(_rehearsed)]
Reviewed = Annotated[Fields, Group(_review)]
Trained = Annotated[Fields, Group(_training)]
Gated = Annotated[Fields, Group(_gates)]
Ended = Annotated[Fields, Group(_outcome)]
