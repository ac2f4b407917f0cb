"""Steps per second of every workload, against the plain way and against what the machine can do at most."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import torch

import limits
from gpu_check.clock import seconds_per_step
from gpu_check.loads import chosen, seconds_of_step
from gpu_check.machine import memory_rate, product_rate
from gpu_check.parts import Check
from reprior.machine.precision import computing_in
from reprior.types import Precision
from workloads import Workload, descend


@dataclass(frozen=True)
class Speed:
    """What was measured of a way to do a workload."""

    rate: float
    """Image steps per second."""
    peak_mib: float
    """Peak memory of the device; 0 on a CPU."""


def check(check: Check) -> None:
    """First all workloads in float32, beside the plain way, then in the other precisions."""
    rates = limits.Rates(product_rate(check.device, "float32", check.quick), memory_rate(check.device, check.quick))
    exact: dict[str, Speed] = {}
    loads = chosen(check)
    for workload in check.in_time(loads, lambda each: each.name, "float32"):
        with check.trying(workload.name):
            exact[workload.name] = in_float32(check, workload, rates)
        clean(check)
    others: list[Precision] = ["bfloat16", "tf32"] if check.cuda else ["bfloat16"]
    pairs = [(precision, workload) for precision in others for workload in loads if workload.name in exact]
    for precision, workload in check.in_time(pairs, lambda pair: f"{pair[1].name} {pair[0]}", "other precisions"):
        with check.trying(f"{workload.name}: {precision}"):
            in_precision(check, workload, precision, exact[workload.name])
        clean(check)


def in_float32(check: Check, workload: Workload, rates: limits.Rates) -> Speed:
    """Our way, and the plain way with one image."""
    ready = workload.ready(check.settings.device, 1)
    found = speed(check, workload, "float32")
    with computing_in("float32", check.device):  # by default, convolutions on a GPU are in TF32
        plain = seconds_per_step(lambda steps: descend(ready.rounds(), steps), check, 2) / workload.rounds
    gain = found.rate * plain
    row = limits.Row(workload, limits.counted(workload), limits.Times(1 / found.rate, plain, 1))
    share = row.share(rates)
    text = f"{found.rate:.4g} image steps/s, {share:.0%} of the limit, {found.peak_mib:.0f} MiB, {gain:.2f} times plain"
    numbers = {"images": workload.images, "share": share, "plain_rate": 1 / plain, **vars(found), **vars(row.cost)}
    if check.quick:
        check.measured(workload.name, text, **numbers)  # one step: too short to judge
    else:
        check.judged(workload.name, text, "> 1 times plain", gain > 1, **numbers)
    return found


def in_precision(check: Check, workload: Workload, precision: Precision, exact: Speed) -> None:
    """Our way in another precision than float32."""
    found = speed(check, workload, precision)
    text = f"{found.rate:.4g} image steps/s, {found.rate / exact.rate:.2f} times float32, {found.peak_mib:.0f} MiB"
    check.measured(f"{workload.name}: {precision}", text, **vars(found))


def batch(check: Check, workload: Workload) -> int:
    """Number of images."""
    return 1 if check.quick else workload.images


def speed(check: Check, workload: Workload, precision: Precision) -> Speed:
    """Our way with a whole batch. Steps are those of all rounds."""
    if check.cuda:
        torch.cuda.reset_peak_memory_stats(check.device)
    seconds = seconds_of_step(check, workload, batch(check, workload), precision)
    peak = torch.cuda.max_memory_allocated(check.device) / 2**20 if check.cuda else 0.0
    return Speed(batch(check, workload) * workload.rounds / seconds, peak)


def clean(check: Check) -> None:
    """Give memory back, so that workloads do not affect each other."""
    gc.collect()
    if check.cuda:
        torch.cuda.empty_cache()
