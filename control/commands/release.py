"""`rdg release`: what went out to devices."""

from control.commands import flags
from control.commands.model import VersionArgument, print_version
from control.output import Columns, print_all, print_one
from control.session import Session, noun, verb
from control.verbs import releases
from control.verbs.releases import Release

app = noun("Releases: versions that went out to devices.")

COLUMNS: Columns[Release] = {
    "version": lambda each: each.version.id,
    "current": lambda each: "*" if each.is_current else "",
    "accuracy": lambda each: each.version.scores.accuracy,
    "classes": lambda each: each.version.classes,
    "base": lambda each: each.version.base,
    "reviewer": lambda each: each.version.provenance.reviewer,
    "created": lambda each: each.version.created,
}


@verb(app, "list", example="rdg release list --model digits")
async def list_(
    session: Session,
    model: flags.OfModel = None,
    limit: flags.Limit = 100,
    before: flags.Before = None,
) -> None:
    """List releases, newest first; the one that devices are to run is marked."""
    async with session.store() as store:
        found = await releases.page(store, limit, before, model=model)
    print_all(found, COLUMNS, session.format, "nothing was released yet")


@verb(app, "show", example="rdg release show digits")
async def show(session: Session, release: VersionArgument) -> None:
    """Show one release with its scores and where it comes from."""
    async with session.store() as store:
        found = await releases.show(store, release)
    if session.format == "table":
        print_version(found.version, session)
    else:
        print_one(found, {}, session.format)
