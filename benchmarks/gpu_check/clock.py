"""Times work on a device, and counts its operations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from gpu_check.parts import Check
from reprior.optimise.watch import Run, Watch

RECORDED = 8
"""Steps of a short run of the loop on CUDA: they include the recording of its graph."""
SECONDS = 0.5
"""How long the steps of a measurement take, about."""


def now(device: torch.device) -> float:
    """The time when all work queued on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


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


@dataclass(frozen=True)
class Timed(Watch):
    """Takes the time of a run's steps without the first ones, in which a graph is recorded, and without the last."""

    first: int = RECORDED
    device: torch.device = torch.device("cpu")
    spans: list[float] = field(default_factory=list)
    """Seconds of a step, in each of the optimisations that follow each other."""

    def steps(self, name: str, run: Run) -> Iterator[int]:
        """The steps, with the clock read before and after those that count."""
        began = 0.0
        for step in super().steps(name, run):
            if step == self.first:
                began = now(self.device)
            elif step == run.steps - 1:
                self.spans.append((now(self.device) - began) / (step - self.first))
            yield step

    def seconds(self, run: Callable[[int], object], steps: int) -> float:
        """Seconds of a step in all optimisations of a run of so many steps that count."""
        self.spans.clear()
        self._shared.parts = None  # otherwise a second run would find the first one finished
        run(self.first + steps + 1)
        return sum(self.spans)


def seconds_in_loop(run: Callable[[int], object], watch: Timed, quick: bool) -> float:
    """Seconds of a step of a run that `watch` watches, once its graphs are recorded."""
    short = watch.seconds(run, 1 if quick else 10)
    return short if quick else watch.seconds(run, max(10, min(400, round(SECONDS / max(short, 1e-5)))))
