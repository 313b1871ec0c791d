"""`rdg generator`: generators of rehearsal data."""

from typing import Annotated

import typer

from control.arguments import parse_options
from control.commands import flags
from control.commands.figures import figures_of
from control.commands.flags import classes_of, given
from control.commands.submission import PatienceFlags, submit
from control.output import Columns, described, note, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import generators
from schemas.documents import Fitted
from schemas.job import FitSpec

app = noun("Generators: fitted on real data once, they stand for it afterwards.")

COLUMNS: Columns[Fitted] = {
    "id": lambda each: each.id,
    "generator": lambda each: each.generator,
    "model": lambda each: each.model,
    "classes": lambda each: each.classes,
    "data": lambda each: each.data,
    "bytes": lambda each: each.kept_bytes,
    "accuracy": lambda each: each.quality and each.quality.accuracy,
    "copies": lambda each: each.quality and each.quality.copies,
    "created": lambda each: each.created,
}


@verb(app, "fit", example="rdg generator fit --generator gmm --data zero-to-four --model digits")
async def fit(
    session: Session,
    generator: Annotated[str, typer.Option(help=flags.GENERATORS)],
    data: Annotated[str, typer.Option(help="Data set to fit it on.")],
    model: flags.Model,
    classes: Annotated[
        str | None, typer.Option(help="Only these: 0-4 or cat,dog. [default: all]")
    ] = None,
    option: flags.GeneratorOptions = None,
    delete_originals: Annotated[
        bool, typer.Option("--delete-originals", help="Delete the data set once it is fitted.")
    ] = False,
    seed: flags.Seed = None,
    deadline_s: flags.Deadline = None,
    token: flags.Token = "",
    *,
    patience: PatienceFlags,
) -> None:
    """Fit a generator, so that jobs of the model can rehearse these classes without their data."""
    fields = given(
        model=model,
        generator=generator,
        data=data,
        classes=classes_of(classes),
        options=parse_options(option or []),
        delete_originals=delete_originals,
        seed=seed,
        deadline_s=deadline_s,
    )
    await submit(session, FitSpec.model_validate(fields), token, patience)


@verb(app, "list", example="rdg generator list --model digits")
async def list_(
    session: Session,
    model: flags.OfModel = None,
    limit: flags.Limit = 100,
    before: flags.Before = None,
) -> None:
    """List what was fitted; the kinds that may be fitted are said on stderr."""
    async with session.store() as store:
        found = await generators.page(store, limit, before, model=model)
    print_all(found, COLUMNS, session.format, "none was fitted yet")
    note(f"kinds installed: {', '.join(generators.installed())}")


@verb(app, "show", example="rdg generator show gmm-j-made-1")
async def show(
    session: Session, generator: Annotated[str, typer.Argument(help="The fit's id.")]
) -> None:
    """Show what a generator was fitted on, what it keeps, and what it gives away."""
    async with session.store() as store:
        fitted = await generators.show(store, generator)
    print_one(fitted, {**described(fitted, COLUMNS), **_figures(fitted)}, session.format)
    if fitted.quality and fitted.quality.memorises:
        note(f"{generator} memorises: many of its samples are copies of training samples")


def _figures(fitted: Fitted) -> dict[str, object]:
    """Return the figures of the fit, each with that of real samples."""
    figures: dict[str, object] = {"options": fitted.options, "seed": fitted.seed}
    figures["reference bytes"] = fitted.reference and fitted.reference.size_bytes
    return figures | figures_of(fitted)
