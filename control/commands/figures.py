"""Figures of a fitted generator, each beside that of real samples; what they mean: docs/learning.md."""

from schemas.documents import Fitted


def figures_of(fitted: Fitted) -> dict[str, str]:
    """Return what the fit measured, by name; nothing if it measured nothing."""
    quality = fitted.quality
    if quality is None:
        return {}
    return {
        "accuracy": _beside(quality.accuracy, quality.accuracy_real),
        "nearest real sample": _beside(quality.distance, quality.distance_real),
        "copies": _beside(quality.copies, quality.copies_real),
    }


def _beside(generated: float | None, real: float | None) -> str:
    return "" if generated is None or real is None else f"{generated:.3g} (real: {real:.3g})"
