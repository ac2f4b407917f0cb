"""Learning rates as functions of the step: (step, steps) -> factor."""

from __future__ import annotations

import math


def ramp_and_cosine(step: int, steps: int, rise: float = 0.05, fall: float = 0.75) -> float:
    """min(1, t / rise) (1 - cos(pi min(1, (1 - t) / fall))) / 2 at t = step / steps: ILO's and StyleGAN2's schedule.

    It rises from 0 in the first 5 % of the steps, stays at 1 up to 25 %, and falls to 0 along a cosine.
    """
    t = step / steps
    return min(1.0, t / rise) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / fall)))


def up_down_and_drop(step: int, steps: int) -> float:
    """PULSE's: from 0.1 up to 1 at 45 % of the steps, back to 0.1 at 90 %, then down to 0.001."""
    t = step / steps
    if t < 0.9:
        return 1 - 0.9 * abs(t / 0.45 - 1)
    return 0.1 - 0.099 * (t - 0.9) / 0.1
