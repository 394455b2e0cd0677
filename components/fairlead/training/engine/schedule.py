"""The learning rate over the steps of a phase, by the schedule's name."""

import math
from collections.abc import Callable, Mapping

FINAL_RATE = 0.02  # of the highest learning rate

SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda _done: 1.0,
    "linear": lambda done: 1 - (1 - FINAL_RATE) * done,
    "cosine": lambda done: FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done)),
}


def rate_at(step: int, steps: int, schedule: str = "cosine", warm_up: float = 0.1) -> float:
    """The share of the highest learning rate at one step.

    Args:
        step: From 0.
        steps: Of the whole schedule.
        schedule: A key of `SCHEDULES`: how the rate falls after the warm-up.
        warm_up: The share of the steps over which the rate rises in a line.

    Returns:
        More than 0, at most 1.
    """
    rising = max(1, round(warm_up * steps)) if warm_up else 0
    if step < rising:
        return (step + 1) / rising
    return SCHEDULES[schedule](min(1.0, (step - rising) / max(1, steps - rising)))
