"""How the learning rate goes over training: a function of the share done, so that it resumes exactly."""

from math import cos, pi
from typing import Literal

Schedule = Literal["constant", "cosine"]


def learning_rate(schedule: Schedule, lr: float, done: float) -> float:
    """Return the rate of the next step.

    Args:
        schedule: "constant"; or "cosine": from lr down to 0 along half a cosine, after Loshchilov
            and Hutter 2017, "SGDR", eq. 5, without restarts.
        lr: Of the first step.
        done: Share of the planned epochs that are trained, in [0, 1); an early stop leaves the rest
            of the way out.

    """
    return lr if schedule == "constant" else lr * (1 + cos(pi * done)) / 2
