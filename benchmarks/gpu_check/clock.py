"""Times work on a device, and counts its operations."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from gpu_check.parts import Check
from in_loop import now

SECONDS = 0.5
"""How long the steps of a measurement take, about."""


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that one call takes."""
    began = now(device)
    work()
    return now(device) - began


def seconds_per_call(work: Callable[[], object], device: torch.device, target: float, blocks: int = 5) -> float:
    """The median over blocks of calls that take about `target` seconds in all, after three calls to warm up."""
    for _ in range(3):
        work()
    once = seconds_of(work, device)
    calls = max(1, min(1000, round(target / blocks / max(once, 1e-6))))

    def block() -> None:
        for _ in range(calls):
            work()

    return statistics.median(seconds_of(block, device) / calls for _ in range(blocks))


def seconds_per_step(run: Callable[[int], object], check: Check, few: int) -> float:
    """Seconds of a step, from runs of `few` steps and of more, so that start and end of a run do not count."""
    few = 1 if check.quick else few
    run(few)
    short = seconds_of(lambda: run(few), check.device)
    more = 1 if check.quick else max(2, min(400, round(SECONDS * few / max(short, 1e-4))))
    return max(seconds_of(lambda: run(few + more), check.device) - short, 1e-9) / more
