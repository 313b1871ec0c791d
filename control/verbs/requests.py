"""Whether what a job asks for is there and fits together. Nothing is written before all of it holds.

Workers check again when they get to it, because things change meanwhile; here a publisher learns at once.
"""

import asyncio
from collections.abc import Sequence

from control.verbs.errors import Invalid, listed
from learning import architecture, augmentation, generators
from schemas.documents import Dataset, Fitted, Model, ModelVersion
from schemas.job import FitSpec, RehearsalSpec, Spec
from store.base import MAX_PAGE, Store
from store.errors import NotFound
from store.fits import fits_by_class, most_fits


async def check(store: Store, spec: Spec) -> None:
    """Raise Invalid with the field, what is wrong with it, and what there is to choose from."""
    if isinstance(spec, FitSpec):
        await _check_fitting(store, spec)
    else:
        await _check_rehearsal(store, spec)


async def _check_fitting(store: Store, spec: FitSpec) -> None:
    dataset = await _dataset(store, "data", spec.data)
    classes = _chosen("classes", spec.classes, dataset)
    await _check_generator(spec)
    if spec.delete_originals and set(classes) != set(dataset.classes):
        lost = [name for name in dataset.classes if name not in classes]
        remedy = "fit all classes, or keep the originals"
        raise Invalid("delete_originals", f"{', '.join(lost)} would be lost unfitted", remedy)
    base = await _released(store, spec.model)
    if base:
        _check_fits("data", dataset, base)


async def _check_rehearsal(store: Store, spec: RehearsalSpec) -> None:
    dataset = await _dataset(store, "new_data", spec.new_data)
    new = _chosen("new_classes", spec.new_classes, dataset)
    base = await _base(store, spec)
    if base:
        _check_fits("new_data", dataset, base)
    known = base.classes if base else ()
    classes = tuple(dict.fromkeys((*known, *spec.classes, *new)))
    _check_architecture(spec, dataset, base, len(classes))
    _check_augmentation(spec, dataset)
    await _check_generator(spec)
    if spec.generator:
        rehearsed = spec.classes or known
        await _check_fitted(store, spec, rehearsed, dataset, new if spec.fit_new else ())
    await _check_probe(store, spec, dataset, classes)


async def _dataset(store: Store, field: str, name: str) -> Dataset:
    try:
        return await store.get(Dataset, name)
    except NotFound as error:
        names = sorted(each.id for each in await store.find(Dataset, limit=MAX_PAGE))
        remedy = f"{listed(names)}: add it with `rdg data add`"
        raise Invalid(field, f"no data set {name!r}", remedy) from error


def _chosen(field: str, names: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """Return the classes that are meant: those named, or all."""
    for name in names:
        if name not in dataset.classes:
            problem = f"data set {dataset.id!r} has no class {name!r}"
            raise Invalid(field, problem, listed(dataset.classes))
    chosen = tuple(names) or dataset.classes
    full = {part.target for part in dataset.train if part.count}
    for name in chosen:
        if name not in full:
            problem = f"data set {dataset.id!r} has no training samples of {name!r}"
            raise Invalid(field, problem, "leave the class out, or add samples")
    return chosen


async def _released(store: Store, model: str) -> ModelVersion | None:
    try:
        number = (await store.get(Model, model)).released
    except NotFound:
        return None
    return None if number is None else await store.get(ModelVersion, f"{model}@{number}")


async def _base(store: Store, spec: RehearsalSpec) -> ModelVersion | None:
    """Return the version that training starts from; None before a first one."""
    if spec.base is None:
        return await _released(store, spec.model)
    try:
        return await store.get(ModelVersion, f"{spec.model}@{spec.base}")
    except NotFound as error:
        versions = await store.find(ModelVersion, model=spec.model, limit=MAX_PAGE)
        problem = f"model {spec.model!r} has no version {spec.base}"
        raise Invalid("base", problem, listed([each.id for each in versions])) from error


def _check_fits(field: str, dataset: Dataset, base: ModelVersion) -> None:
    if (dataset.shape, dataset.dtype) != (base.shape, base.dtype):
        problem = f"data set {dataset.id!r} has {_form(dataset)}, {base.id} takes {_form(base)}"
        raise Invalid(field, problem, "give data of that form, or train another model")


def _form(what: Dataset | ModelVersion | Fitted) -> str:
    return f"{what.dtype} samples of {'x'.join(map(str, what.shape))}"


def _check_architecture(
    spec: RehearsalSpec, dataset: Dataset, base: ModelVersion | None, n_classes: int
) -> None:
    if base and not spec.from_scratch:
        if spec.architecture not in (None, base.architecture):
            problem = f"{base.id} has its own, {base.architecture!r}"
            raise Invalid("architecture", problem, "leave it out, or start from scratch")
        return
    try:
        layers = spec.architecture or architecture.default(dataset.shape)
        architecture.parameter_shapes(layers, dataset.shape, n_classes)
    except ValueError as error:
        remedy = 'give layers that suit the samples, for example "conv16 pool dense64"'
        raise Invalid("architecture", str(error), remedy) from error


def _check_augmentation(spec: RehearsalSpec, dataset: Dataset) -> None:
    try:
        augmentation.suited(spec.training.augmentation, dataset.shape)
    except ValueError as error:
        raise Invalid("training.augmentation", str(error), "leave it out, or use 'none'") from error


async def _check_generator(spec: Spec) -> None:
    if spec.generator is None:
        _check_without_generator(spec)
        return
    if spec.generator not in generators.installed():
        names = listed(generators.installed())
        remedy = f"{names}; install the package that has it here too"
        raise Invalid("generator", f"{spec.generator!r} is unknown", remedy)
    generator = await asyncio.to_thread(generators.load, spec.generator)
    try:
        generator.validate(spec.options)
    except ValueError as error:
        raise Invalid("options", f"{spec.generator}: {error}", "correct or drop it") from error


def _check_without_generator(spec: Spec) -> None:
    if spec.options:
        remedy = "name the generator that they are for, or drop them"
        raise Invalid("options", f"{', '.join(spec.options)} given without a generator", remedy)
    if isinstance(spec, RehearsalSpec) and spec.training.new_loss == "new":
        problem = "'new' needs rehearsal samples, and no generator is named"
        raise Invalid("training.new_loss", problem, "name a generator, or use 'auto'")


async def _check_fitted(
    store: Store,
    spec: RehearsalSpec,
    rehearsed: Sequence[str],
    dataset: Dataset,
    own: Sequence[str],
) -> None:
    """Check that each class to rehearse was fitted, or is fitted by this job itself."""
    wanted = dict.fromkeys((*rehearsed, *own))
    fits = await fits_by_class(store, spec, wanted)
    for name in rehearsed:
        if name not in fits and name not in own:
            problem = (
                f"no {spec.generator} generator of model {spec.model!r} was fitted for {name!r}"
            )
            remedy = f"{listed(list(fits))}: `rdg generator fit` while its data exists"
            raise Invalid("classes", problem, remedy)
    replaced = own if most_fits(spec) == 1 else ()
    for name in wanted:
        if name not in replaced:
            _check_forms(fits.get(name, ()), dataset)


def _check_forms(fits: Sequence[Fitted], dataset: Dataset) -> None:
    """Check that what is rehearsed has the form of what is learned."""
    for fit in fits:
        if (fit.shape, fit.dtype) != (dataset.shape, dataset.dtype):
            problem = f"{fit.id} makes {_form(fit)}, the data has {_form(dataset)}"
            remedy = "fit one on data of that form, and rehearse from it alone with --fits newest"
            raise Invalid("classes", problem, remedy)


async def _check_probe(
    store: Store, spec: RehearsalSpec, dataset: Dataset, classes: Sequence[str]
) -> None:
    if spec.probe is None:
        return
    probe = await _dataset(store, "probe", spec.probe)
    if not any(part.count for part in probe.test):
        problem = f"data set {probe.id!r} has no test split"
        raise Invalid("probe", problem, "name one with test samples, or leave it out")
    if (probe.shape, probe.dtype) != (dataset.shape, dataset.dtype):
        problem = f"data set {probe.id!r} has {_form(probe)}, the new data {_form(dataset)}"
        raise Invalid("probe", problem, "give data of that form")
    if not set(probe.classes) & set(classes):
        problem = f"data set {probe.id!r} has none of the model's classes"
        raise Invalid("probe", problem, listed(list(classes)))
