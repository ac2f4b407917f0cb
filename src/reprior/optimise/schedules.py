"""Learning rates as functions of the step: (step, steps) -> factor."""

from __future__ import annotations

import math


def ramp_and_cosine(step: int, steps: int, rise: float = 0.05, fall: float = 0.75) -> float:
    """min(1, t / rise) (1 - cos(pi min(1, (1 - t) / fall))) / 2 at t = step / steps: ILO's and StyleGAN2's schedule.

    It rises from 0 in the first 5 % of the steps, stays at 1 up to 25 %, and falls to 0 along a cosine.
    """
    t = step / steps
    return min(1.0, t / rise) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / fall)))
