"""The comparison of ways to rehearse, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # writes files; there is no window to draw in

from matplotlib import pyplot as plt

COLOURS = ("#4c72b0", "#dd8452")


def comparison(rows: Sequence[tuple[str, float, float]], title: str, path: Path) -> Path:
    """Draw accuracy on old and on new classes for each way, as a PNG.

    Args:
        rows: A name, and two accuracies in [0, 1]: on the old classes and on the new.
        title: Above the picture.
        path: Where to.

    """
    places = np.arange(len(rows))
    figure, axes = plt.subplots(figsize=(1.3 * len(rows) + 2, 4.2), layout="constrained")
    for column, (name, colour) in enumerate(
        zip(("old classes", "new classes"), COLOURS, strict=True)
    ):
        heights = [100 * row[1 + column] for row in rows]
        bars = axes.bar(places + (column - 0.5) * 0.38, heights, 0.38, label=name, color=colour)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(places, [row[0] for row in rows])
    axes.set(ylabel="accuracy, %", ylim=(0, 112), title=title)
    axes.legend(loc="lower right", ncols=2, framealpha=0.9)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
