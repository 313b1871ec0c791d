"""Pauses between tries."""

from collections.abc import Iterator
from random import uniform

FIRST_S = 0.5
LONGEST_S = 30.0


def pauses(first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """Yield seconds to wait, for ever: doubling up to `longest_s`, each cut by up to half at random.

    The chance keeps a fleet that lost its broker from coming back all at once.
    """
    ceiling_s = first_s
    while True:
        yield uniform(0.5, 1.0) * ceiling_s  # noqa: S311  not a secret
        ceiling_s = min(2 * ceiling_s, longest_s)
