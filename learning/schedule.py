"""How long training goes on, and its learning rate: by what is known at any step, so that it resumes exactly."""

from math import cos, pi
from typing import Literal

Schedule = Literal["constant", "cosine"]

LEAST_EPOCHS, LEAST_STEPS = 4, 600  # of "auto"


def planned_epochs(epochs: int | Literal["auto"], steps: int) -> int:
    """Return how many epochs of so many steps are planned; "auto": four, or more until there are 600 steps.

    Few samples make few steps an epoch, and a network needs some hundreds of them, however few the samples.
    """
    return max(LEAST_EPOCHS, -(-LEAST_STEPS // steps)) if epochs == "auto" else epochs


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
