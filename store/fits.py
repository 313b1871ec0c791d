"""Which fits stand for the classes of a model: what a job rehearses, and what its publisher is told beforehand."""

from collections import defaultdict

from schemas.documents import Fitted
from schemas.job import RehearsalSpec
from store.base import Store, each


async def fits_by_class(
    store: Store, spec: RehearsalSpec, own: Fitted | None = None
) -> dict[str, tuple[Fitted, ...]]:
    """Return the fits by the job's generator to rehearse each class from, oldest first.

    Of fits of the same data it is the newest. With `fits="every"` they are at most `count`, the newest, for each has to
    give a sample; with "newest" it is one. `own` is the job's own fit: the newest, whatever the clocks of workers say.

    Raises:
        Damaged: A fit of the model cannot be read, and may be one that matters.

    """
    most = 1 if spec.fits == "newest" else spec.count
    found: defaultdict[str, dict[str, Fitted]] = defaultdict(dict)
    if own:
        _add(found, own, most)
    async for fit in each(store, Fitted, skip_damaged=False, model=spec.model):
        if fit.generator == spec.generator:
            _add(found, fit, most)
    return {name: tuple(reversed(fits.values())) for name, fits in found.items()}


def _add(found: defaultdict[str, dict[str, Fitted]], older: Fitted, most: int) -> None:
    """Add a fit to those of its classes, by what they were fitted on."""
    for name in older.classes:
        if len(found[name]) < most:
            found[name].setdefault(older.fitted_on, older)
