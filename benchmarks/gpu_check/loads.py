"""The workloads of `benchmarks/workloads.py` as the parts need them, and how results are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import workloads
from gpu_check.clock import SECONDS, seconds_per_step
from gpu_check.parts import Check
from in_loop import RECORDED, Timed, seconds_in_loop
from reprior.methods.base import Problem, Reconstruction
from reprior.optimise.watch import Watch
from reprior.types import Precision
from workloads import Ready, Workload

QUICK = ("csgm", "plug-and-play")
"""A method of the loop, and one without it."""
DIRECT = ("npgd", "plug-and-play")
"""Methods that do not use the loop: they have no checkpoints and no graphs."""
CHAOTIC = ("dip",)
"""Methods whose losses rounding moves at once. With other convolutions on the same CPU, the first loss of Deep Image
Prior moves by 4e-6, the second by 3%: a step of Adam moves every weight by the rate, also those whose gradient is
rounding. Of the others, none of the first five losses moved by more than 1e-6."""
DECIBEL = 0.1
"""Largest difference of PSNRs: less than what tables show. Rounding moved none by more than 0.03 dB in 20 steps."""


def chosen(check: Check, size: int | None = None, quick: Sequence[str] = QUICK) -> Sequence[Workload]:
    """The workloads of a size, or of all sizes; those of `quick` if it is only to see that the code runs."""
    if check.quick:
        return workloads.selected(quick, [64])
    return workloads.selected(sizes=[] if size is None else [size])


def watched(workload: Workload, watch: Watch, device: torch.device, images: int, precision: Precision) -> Ready:
    """The workload, with a watch of its optimisation."""
    make = workloads.random_problem

    def with_watch(*about: Any, **named: Any) -> Problem:
        return replace(make(*about, **named), watch=watch)

    workloads.random_problem = with_watch
    try:
        return workload.ready(device.type, images, precision)
    finally:
        workloads.random_problem = make


def seconds_of_step(check: Check, workload: Workload, images: int, precision: Precision = "float32") -> float:
    """Seconds of a step of our way: of all its rounds."""
    if workload.method in DIRECT:
        return seconds_per_step(workload.ready(check.settings.device, images, precision).ours, check, 2)

    watch = Timed(device=check.device, first=1 if check.quick else RECORDED)
    run = watched(workload, watch, check.device, images, precision).ours
    return seconds_in_loop(run, watch, 0 if check.quick else SECONDS)


def truth(workload: Workload, images: int) -> Tensor:
    """The images that the workload measures: [N, 3, H, W], on the CPU."""
    shape = (images, 3, workload.size, workload.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """The PSNR of each image in dB: [N, C, H, W] twice -> [N]"""
    errors = (images.cpu().double().clamp(0, 1) - truth.double()).square().flatten(1).mean(1)
    return -10 * errors.log10()


def relative(found: Tensor, expected: Tensor) -> Tensor:
    """How far losses are apart, as a share of what was expected: [N, steps] twice -> [N, steps]"""
    found, expected = found.cpu().double(), expected.cpu().double()
    return (found - expected).abs() / expected.abs().clamp_min(1e-12)


def apart(found: Reconstruction, expected: Reconstruction) -> float:
    """The largest relative difference of losses; infinite if one is not finite in only one of the two."""
    assert found.trace is not None and expected.trace is not None
    differences = relative(found.trace, expected.trace)
    both = found.trace.isfinite().logical_or(expected.trace.isfinite()).logical_not().cpu()
    return float(differences.masked_fill(both, 0).nan_to_num(torch.inf).max())


def judge_same(
    check: Check, workload: Workload, what: str, found: Reconstruction, runs: Sequence[Reconstruction], least: float
) -> None:
    """Whether a result is that of two `runs` that are alike, up to `least` or ten times what these two differ by.

    On a GPU some sums have no fixed order, so that no two runs are equal.
    """
    difference, noise = apart(found, runs[0]), apart(runs[1], runs[0])
    limit = max(least, 10 * noise)
    text, numbers = f"{difference:.1e} apart; two plain runs {noise:.1e}", {"difference": difference, "noise": noise}
    if check.cuda and workload.method in CHAOTIC:
        true = truth(workload, len(found.images))
        lost = float((psnr(found.images, true) - psnr(runs[0].images, true)).abs().max())
        check.judged(what, f"{text}; {lost:.4f} dB", f"< {DECIBEL} dB", lost < DECIBEL, decibel=lost, **numbers)
    else:
        check.judged(what, text, f"<= {limit:.1e}", difference <= limit, **numbers)
