"""What is wrong with a value from outside, as one short line: names that the value chose are cut and escaped."""

from pydantic import ValidationError

MAX_PROBLEMS = 3
MAX_NAME, MAX_TEXT = 64, 256


def problems_of(error: ValidationError) -> str:
    """Return the first fields that are wrong, each with its problem: ``counts.cat: Input should be ...``."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{_place(problem['loc'])}: {_cut(problem['msg'], MAX_TEXT)}"
        for problem in found[:MAX_PROBLEMS]
    )


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(_cut(str(step), MAX_NAME) for step in steps) or "body"


def _cut(text: str, length: int) -> str:
    short = text if len(text) <= length else f"{text[:length]}..."
    return short if short.isprintable() else ascii(short)
