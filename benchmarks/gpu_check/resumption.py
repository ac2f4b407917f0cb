"""Whether a method that is stopped in the middle and goes on from its checkpoint ends as if undisturbed."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gpu_check.loads import DIRECT, QUICK, chosen, judge_same, watched
from gpu_check.parts import Check
from reprior.methods.base import Reconstruction
from reprior.optimise.watch import Run, Watch
from workloads import Workload

STEPS = 16
ROUNDING = 1e-5
"""What resuming may change on a GPU, relative to the losses. On a CPU it may change nothing."""


@dataclass(frozen=True)
class Stopping(Watch):
    """Stops the job as SIGTERM does, after so many steps."""

    after: int = 0
    taken: list[int] = field(default_factory=list)

    def steps(self, name: str, run: Run) -> Iterator[int]:
        """The steps, until the job is asked to stop."""
        for step in super().steps(name, run):
            yield step
            self.taken.append(step)
            if len(self.taken) == self.after:
                self._shared.asked_to_stop = signal.SIGTERM


def check(check: Check) -> None:
    """Each method on 64 pixels."""
    for workload in check.in_time(chosen(check, 64, (*QUICK, "ilo")), lambda each: each.name):
        with check.trying(workload.name), tempfile.TemporaryDirectory() as folder:
            resume(check, workload, Path(folder, "checkpoint.safetensors"))


def resume(check: Check, workload: Workload, path: Path) -> None:
    """Run a workload twice undisturbed, and once stopped in the middle and resumed."""
    steps = 4 if check.quick else STEPS
    images = 1 if check.quick else min(2, workload.images)

    def run(watch: Watch) -> Reconstruction:
        return watched(workload, watch, check.device, images, "float32").ours(steps)

    counting = Stopping()
    undisturbed, again = run(counting), run(Watch())
    if workload.method in DIRECT:
        check.skipped(workload.name, "its loop keeps no checkpoints: its steps are few and fast")
        return
    stopping = Stopping(checkpoint=path, every_seconds=1e9, after=max(1, len(counting.taken) // 2))
    try:
        run(stopping)
    except SystemExit:
        pass
    else:
        raise RuntimeError("it was not stopped")
    resumed = run(Watch(checkpoint=path, every_seconds=1e9))
    judge_same(check, workload, workload.name, resumed, (undisturbed, again), ROUNDING if check.cuda else 0.0)
