"""Whether CUDA can record the steps of each method as a graph, what it gains, and whether the numbers are the same."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import torch

from gpu_check.loads import DIRECT, chosen, judge_same, seconds_of_step
from gpu_check.parts import Check
from reprior.optimise import graphs
from reprior.optimise.graphs import without_graphs
from workloads import Workload

STEPS = 24
ROUNDING = 1e-5
"""What graphs may change, relative to the losses: a sum of another order, no more."""


def check(check: Check) -> None:
    """Each method on 64 pixels, with and without graphs."""
    if not check.cuda:
        check.say("the device is a CPU: nothing is recorded there")
    for workload in check.in_time(chosen(check, 64), lambda each: each.name):
        with check.trying(workload.name):
            compare(check, workload)


def compare(check: Check, workload: Workload) -> None:
    """Run a workload with graphs once, and without them twice."""
    steps = 2 if check.quick else STEPS
    ready = workload.ready(check.settings.device, 1 if check.quick else workload.images, "float32")
    with counted() as recorded, contextlib.redirect_stderr(io.StringIO()) as said:
        on = ready.ours(steps)
    with without_graphs():
        off, again = ready.ours(steps), ready.ours(steps)
    said_not = [line for line in said.getvalue().splitlines() if "cannot be a CUDA graph" in line]
    if check.cuda:
        least = 0 if workload.method in DIRECT else workload.rounds
        text = "; ".join(said_not) or f"{recorded[0]} recorded"
        good = recorded[0] >= least and not said_not
        check.judged(f"{workload.name}: graphs", text, f">= {least}: one per round", good, recorded=recorded[0])
    judge_same(check, workload, f"{workload.name}: same losses", on, (off, again), ROUNDING)
    with_them = seconds_of_step(check, workload, len(on.images))
    with without_graphs():
        without = seconds_of_step(check, workload, len(on.images))
    text = f"{with_them * 1e3:.3g} ms per step, without graphs {without * 1e3:.3g}: {without / with_them:.2f} times"
    check.measured(f"{workload.name}: speed", text, seconds=with_them, seconds_without=without)


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """The number of graphs recorded in the block."""
    count, record = [0], graphs.Replayed._record

    def counting(self: graphs.Replayed, stream: torch.cuda.Stream) -> None:
        record(self, stream)
        count[0] += self.graph is not None

    graphs.Replayed._record = counting  # type: ignore[method-assign]
    try:
        yield count
    finally:
        graphs.Replayed._record = record  # type: ignore[method-assign]
