"""How our number compares with the paper's, if they are comparable."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from reprior.metrics.averaging import about
from reprior.render.context import Interval, Reported

AGREES, BETTER, WORSE, NOT_RUN = "agrees", "better", "worse", "not run"
NOT_FINITE, NOT_JUDGED = "not finite", "not judged"
JUDGED = (AGREES, BETTER, WORSE)
"""Verdicts on two numbers that can be compared."""

ABOUT_INTERVAL = (
    "Interval: the 95% bootstrap interval of our average; it covers the choice of our images and nothing else."
)
ABOUT_VERDICT = (
    "Verdict: agrees if the paper's number, plus or minus half of its last digit, lies within our interval; otherwise "
    "better or worse. The paper's number also depends on its images, by an unknown amount, so a narrow miss is not a "
    "contradiction."
)
ABOUT_NOT_JUDGED = (
    "Not judged, and without a difference: run times and memory, which depend on the machine, and averages of a single "
    "image."
)


def verdict(metric: str, ours: float | None, interval: Interval | None, paper: Reported) -> str:
    """One of the words above, by the rule of `ABOUT_VERDICT`; empty if the paper has no number."""
    if paper.value is None:
        return ""
    if ours is None:
        return NOT_RUN
    better = about(metric).better
    if better and not math.isfinite(ours):
        return NOT_FINITE
    if not better or interval is None:
        return NOT_JUDGED
    low, high = interval
    if low - paper.rounding <= paper.value <= high + paper.rounding:
        return AGREES
    return BETTER if (ours > paper.value) == (better == "higher") else WORSE


def counted(verdicts: Iterable[str]) -> str:
    """`2 of 5 numbers agree with the paper's; 1 better, 2 not run`; empty if there is nothing to count."""
    times = Counter(filter(None, verdicts))
    others = [f"{times[word]} {word}" for word in (BETTER, WORSE, NOT_RUN, NOT_FINITE, NOT_JUDGED) if times[word]]
    agree = f"{times[AGREES]} of {times.total()} numbers agree with the paper's"
    return "; ".join(filter(None, [agree, ", ".join(others)])) if times else ""
