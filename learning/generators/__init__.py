"""Generators of rehearsal data, one file each, one signature: see `learning.generators.base`.

A package of yours adds one by an entry point in the group `rdg.generators`: a name, and a `Generator` value. A
generator is imported only when it is named, so that a worker that serves one of them does not pay for the libraries
of the others.
"""

from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from learning.generators.base import Generator

__all__ = ["BUILT_IN", "installed", "load"]

BUILT_IN = ("original", "gmm", "gan", "ga", "mix")


def installed() -> tuple[str, ...]:
    """Return the names of all generators: ours, then those of other packages."""
    return BUILT_IN + tuple(sorted(point.name for point in entry_points(group="rdg.generators")))


def load(name: str) -> Generator:
    """Return the generator of that name.

    Raises:
        ValueError: There is none.

    """
    if name in BUILT_IN:
        return cast(Generator, import_module(f"learning.generators.{name}").generator)
    for point in entry_points(group="rdg.generators", name=name):
        return cast(Generator, point.load())
    raise ValueError(f"generator {name!r} is unknown; there are {', '.join(installed())}")
