"""Times the steps of the optimisation loop from inside.

On CUDA, a run begins with the recording of a graph, which takes as long as many steps. The difference of two runs of
different lengths is then mostly noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from reprior.optimise.watch import Run, Watch

RECORDED = 8
"""Steps after which the graph of a run is recorded, and some more."""
LEAST, MOST = 10, 400
"""Steps that are timed."""


def now(device: torch.device) -> float:
    """The time when all work queued on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@dataclass(frozen=True)
class Timed(Watch):
    """Takes the time of a run's steps without the first ones, in which a graph is recorded, and without the last."""

    device: torch.device = torch.device("cpu")
    first: int = RECORDED
    """Steps that do not count."""
    spans: list[float] = field(default_factory=list)
    """Seconds of a step, in each of the optimisations that follow each other."""

    def steps(self, name: str, run: Run) -> Iterator[int]:
        """The steps, with the clock read before and after those that count."""
        began = 0.0
        for step in super().steps(name, run):
            if step == self.first:
                began = now(self.device)
            elif step > self.first and step == run.steps - 1:
                self.spans.append((now(self.device) - began) / (step - self.first))
            yield step

    def seconds(self, run: Callable[[int], object], steps: int) -> float:
        """Seconds of a step in all optimisations of a run of so many steps that count."""
        self.spans.clear()
        run(self.first + steps + 1)
        return sum(self.spans)


def seconds_in_loop(run: Callable[[int], object], watch: Timed, target: float) -> float:
    """Seconds of a step of a run of so many steps that `watch` watches, from about `target` seconds."""
    short = watch.seconds(run, LEAST if target else 1)
    steps = round(target / max(short, 1e-5))
    return watch.seconds(run, min(steps, MOST)) if steps > LEAST else short
