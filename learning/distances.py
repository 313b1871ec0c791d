"""Distances between samples as rows: root mean square differences per value, in the units of the rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 256  # rows compared at once, which bounds the memory

Rows = NDArray[np.float32] | NDArray[np.float64]


def squared_distances(rows: Rows, among: Rows) -> NDArray[np.floating[Any]]:
    """Return mean square differences, (n, m), at least 0, of rows (n, d) and (m, d).

    Exact to about the root of the dtype's precision: near 0, 1e-3 of the values in float32.
    """
    centre = among.mean(axis=0)  # |a-b|^2 below loses digits when the rows are far from the origin
    rows, among = rows - centre, among - centre
    norms = np.einsum("md,md->m", among, among)
    squared = np.einsum("nd,nd->n", rows, rows)[:, np.newaxis] + norms - 2 * (rows @ among.T)
    return np.asarray(np.maximum(squared, 0) / max(1, rows.shape[1]))


def nearest_distances(
    rows: Rows, among: Rows, own: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the distance of each row (n, d) to the nearest of `among` (m, d), (n,).

    Args:
        rows: n may be 0.
        among: m at least 1, and 2 with `own`.
        own: Of each row the place in `among` that is the row itself and does not count, (n,).

    """
    nearest = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        squared = squared_distances(rows[part], among)
        if own is not None:
            squared[np.arange(len(squared)), own[part]] = np.inf
        nearest[part] = squared.min(axis=1)
    return np.sqrt(nearest)
