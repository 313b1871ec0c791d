"""THE DATA FLOW. One line per stage; a stage is the file of its name in this package.

A package of yours adds a stage by an entry point in the group `rdg.stages`: a name, and a function like the
`stage` of every file here. A process imports only the stages it runs; none imports torch before it trains.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from bus.stage import AnyStage, topology
from bus.transport import Queue
from learning import generators
from store.base import Store
from workers.resources import Resources

Factory = Callable[[Resources], AnyStage]

PIPELINE = (
    "planning",  #   RehearsalRequested | GeneratorFitted      -> FittingRequested | GenerationRequested
    #                                                             | TrainingRequested
    "fitting",  #    FittingRequested                          -> GeneratorFitted | FittingRequested
    "generation",  # GenerationRequested | PopulationScored    -> SamplesGenerated | PopulationProposed
    "prediction",  # SamplesGenerated | PopulationProposed     -> SamplesPredicted | PopulationScored
    "labelling",  #  SamplesPredicted                          -> SamplesLabelled
    "collection",  # SamplesLabelled                           -> RehearsalSetReady | GenerationRequested
    "review",  #     RehearsalSetReady | ReviewDecided         -> ReviewDecided | TrainingRequested
    "training",  #   TrainingRequested                         -> ModelTrained | TrainingRequested
    "releasing",  #  ModelTrained                              -> ModelReleased
    "fleet",  #      DeviceReported                            -> (the store, where workers/monitor.py looks)
)


def installed() -> tuple[str, ...]:
    """Return the names of all stages: ours in flow order, then those of other packages."""
    return PIPELINE + tuple(sorted(point.name for point in entry_points(group="rdg.stages")))


def load(name: str, resources: Resources) -> AnyStage:
    """Return the stage of that name.

    Raises:
        ValueError: There is no such stage.

    """
    return _factory(name)(resources)


def load_all(names: Iterable[str], resources: Resources) -> list[AnyStage]:
    """Return the stages of these names, in order."""
    return [load(name, resources) for name in names]


def described(names: Iterable[str], generators: Iterable[str]) -> list[AnyStage]:
    """Return stages to read and not to run: names, messages and queues, for a process that serves these generators."""
    nothing = cast(Store, None)  # a stage only touches the store when it handles a message
    return load_all(names, Resources(nothing, tuple(generators)))


def queues() -> tuple[Queue, ...]:
    """Return the queues of all that is installed. Commands find it by the entry point group `rdg.queues`."""
    return topology(described(installed(), generators.installed())).queues


def _factory(name: str) -> Factory:
    if name in PIPELINE:
        return cast(Factory, import_module(f"workers.{name}").stage)
    for point in entry_points(group="rdg.stages", name=name):
        return cast(Factory, point.load())
    raise ValueError(f"stage {name!r} is unknown; there are {', '.join(installed())}")
