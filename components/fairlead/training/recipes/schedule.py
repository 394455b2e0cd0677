"""The learning rate over the steps of a training."""

import math

WARM_UP = 0.1  # share of all steps
FINAL_RATE = 0.02  # of the highest learning rate


def rate_at(step: int, steps: int) -> float:
    """The share of the highest learning rate at one step: a linear warm-up, then half a cosine."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
